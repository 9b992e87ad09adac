package runtime_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// attr is an attribute of a test.
func attr(v any) *schemas.Attribute {
	a, err := schemas.AttributeOf(v)
	if err != nil {
		panic(err)
	}
	return a
}

// shownAttributes prints attributes in order.
func shownAttributes(all map[string]*schemas.Attribute) string {
	var s []string
	for name, a := range all {
		s = append(s, fmt.Sprintf("%s=%v", name, a.Plain()))
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

// TestAttributesAreWhatTheCodeSetLast, while the run waits and in its record, over
// a crash at any write; the entry that suspends the run has them all, and none is
// stored a second time besides.
func TestAttributesAreWhatTheCodeSetLast(t *testing.T) {
	order := func() *runtime.Kind {
		return kind("order", func(c *runtime.Context, _ string) (string, error) {
			for i := range 3 {
				if err := c.SetAttribute("customer", attr("c-17")); err != nil {
					return "", err
				}
				if err := c.SetAttribute("packed", attr(int64(i))); err != nil {
					return "", err
				}
				if _, err := step(c, "pack", give("x")); err != nil {
					return "", err
				}
			}
			if err := c.SetAttribute("from", nil); err != nil {
				return "", err
			}
			if _, err := result(c, c.After("rest", 24*time.Hour)); err != nil {
				return "", err
			}
			return "done", c.SetAttribute("packed", nil)
		})
	}
	r := ref("order", "a", "1")
	play := func(t *testing.T, crash func(*runtimetest.World)) int {
		points := 0
		bubble(t, func(t *testing.T) {
			w := world(t, order())
			crash(w)
			w.Send(r.Identity, &schemas.Envelope{
				Type: schemas.Envelope_TASK, Id: string(r.ID),
				Attributes: map[string]*schemas.Attribute{"from": attr("web"), "region": attr("eu")},
			})
			<-time.After(time.Hour)
			entries, err := w.Journal.Load(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			rec, status := runtime.Timeline(entries)
			const while = "customer=c-17 packed=2 region=eu"
			if got := shownAttributes(rec.GetAttributes()); got != while {
				t.Errorf("the run that is %v has %s, want %s", status, got, while)
			}
			if last, _ := runtime.Timeline(entries[len(entries)-1:]); shownAttributes(last.GetAttributes()) != while {
				t.Errorf("the entry that suspends the run has %v, want all", last.GetAttributes())
			}
			var stored []string
			for _, s := range w.Journal.History() {
				events := s.Entry.GetEvents()
				if n := len(events); n > 0 && events[n-1].GetSuspended() != nil {
					continue // has them all once more
				}
				for _, e := range events {
					if v := e.GetAttributesSet(); v != nil {
						stored = append(stored, fmt.Sprint(v.GetCount(), ": ", shownAttributes(v.GetAttributes())))
					}
				}
			}
			want := []string{
				"0: from=web region=eu",
				"2: customer=c-17 from=web packed=0 region=eu",
				"4: customer=c-17 from=web packed=1 region=eu",
				"6: customer=c-17 from=web packed=2 region=eu",
				"7: " + while,
			}
			if !slices.Equal(stored, want) {
				t.Errorf("stored\n%s\nwant\n%s", strings.Join(stored, "\n"), strings.Join(want, "\n"))
			}
			if got, want := shownAttributes(expect(t, w, r, "done").GetAttributes()), "customer=c-17 region=eu"; got != want {
				t.Errorf("the record has %s, want %s", got, want)
			}
			settle(t, w)
			points = len(w.Points())
		})
		return points
	}
	points := play(t, func(*runtimetest.World) {})
	for n := 1; n <= points; n++ {
		play(t, func(w *runtimetest.World) { w.CrashAt(runtimetest.Before, n) })
		play(t, func(w *runtimetest.World) { w.CrashAt(runtimetest.After, n) })
	}
}

// TestAttributesAreBounded at the same place on a replay.
func TestAttributesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("many", func(c *runtime.Context, _ string) (string, error) {
			n := 0
			for i := range 100 {
				if err := c.SetAttribute(fmt.Sprint("a", i%40), attr(int64(i))); err == nil {
					n++
				} else if runtime.AsError(err).Code != runtime.ErrInvalid.Code {
					return "", err
				}
				if i == 50 {
					if _, err := result(c, c.After("rest", 24*time.Hour)); err != nil {
						return "", err
					}
				}
			}
			for name, a := range map[string]*schemas.Attribute{"a b": attr("x"), strings.Repeat("n", 65): attr("x"), "": attr("x"), "t": {}} {
				if c.SetAttribute(name, a) == nil {
					return "", fmt.Errorf("%q %v was taken", name, a)
				}
			}
			return fmt.Sprint(n), nil
		}))
		w.CrashAt(runtimetest.Before, 4)
		r := ref("many", "a", "1")
		w.Task(r, "", nil)
		if rec := expect(t, w, r, "84"); len(rec.GetAttributes()) != schemas.MaxAttributes {
			t.Errorf("the record has %d attributes", len(rec.GetAttributes()))
		}
		settle(t, w)
	})
}

// TestAttributesGoOnWithTheRun that continues as new: the next generation begins
// with them, over a crash at any write.
func TestAttributesGoOnWithTheRun(t *testing.T) {
	play := func(t *testing.T, crash func(*runtimetest.World)) int {
		points := 0
		bubble(t, func(t *testing.T) {
			w := world(t, kind("loop", func(c *runtime.Context, in string) (string, error) {
				if err := c.SetAttribute("round", attr(in)); err != nil {
					return "", err
				}
				if err := c.SetAttribute("in-"+in, attr(true)); err != nil {
					return "", err
				}
				if _, err := result(c, c.After("rest", 24*time.Hour)); err != nil || in == "xxx" {
					return "done", err
				}
				return "", c.ContinueAsNew(text(in + "x"))
			}))
			crash(w)
			r := ref("loop", "a", "1")
			w.Task(r, "", text("x"))
			if got, want := shownAttributes(expect(t, w, r, "done").GetAttributes()), "in-x=true in-xx=true in-xxx=true round=xxx"; got != want {
				t.Errorf("the record has %s, want %s", got, want)
			}
			settle(t, w)
			points = len(w.Points())
		})
		return points
	}
	points := play(t, func(*runtimetest.World) {})
	for n := 1; n <= points; n++ {
		play(t, func(w *runtimetest.World) { w.CrashAt(runtimetest.Before, n) })
		play(t, func(w *runtimetest.World) { w.CrashAt(runtimetest.After, n) })
	}
}
