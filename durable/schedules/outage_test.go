package schedules_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
	"pgregory.net/rapid"
)

// A site is a world whose process comes and goes.
type site struct {
	t       interface{ Errorf(string, ...any) }
	w       *runtimetest.World
	p       *runtimetest.Process
	ref     schemas.Ref
	signals int
}

func newSite(t interface{ Errorf(string, ...any) }, spec schedules.Spec, configure ...func(*runtime.Config)) *site {
	s := &site{t: t, w: runtimetest.NewWorld(kinds()...), ref: schemas.Identity{Kind: "schedule", Key: "nightly"}.Run("nightly")}
	s.w.Configure = func(c *runtime.Config) {
		for _, f := range configure {
			f(c)
		}
	}
	s.p = s.w.Start()
	s.w.Task(s.ref, "", payload(t, spec))
	return s
}

func payload(t interface{ Errorf(string, ...any) }, v any) *schemas.Payload {
	p, err := durable.Encode(v)
	if err != nil {
		t.Errorf("%v", err)
	}
	return p
}

func (s *site) tell(c schedules.Command) {
	s.signals++
	s.w.Signal(s.ref, fmt.Sprint("s", s.signals), "command", payload(s.t, c))
}

func (s *site) close() {
	for _, wrong := range s.w.Close() {
		s.t.Errorf("%s", wrong)
	}
}

func (s *site) info() schedules.Info {
	entries, err := s.w.Journal.Load(context.Background(), s.ref)
	if err != nil {
		s.t.Errorf("%v", err)
	}
	rec, _ := runtime.Timeline(entries)
	info, err := durable.Decode[schedules.Info](rec.GetCustomStatus())
	if err != nil {
		s.t.Errorf("%v", err)
	}
	return info
}

// begun returns how often each run of the target has begun, by its ID.
func (s *site) begun() map[string]int {
	ids := map[string]int{}
	for _, e := range s.w.Journal.History() {
		for _, ev := range e.Entry.GetEvents() {
			if ev.GetStarted() != nil && e.Ref.Kind == "report" {
				ids[string(e.Ref.ID)]++
			}
		}
	}
	return ids
}

// A happening is what a property test does at a moment.
type happening struct {
	after time.Duration // since the one before; moments are not those of times
	what  string
}

// TestEachTimeFiresOnceWhateverHappens: random schedules, under random outages and
// pauses, fire each time within the catch-up window once, miss what is older, and
// fire nothing else.
func TestEachTimeFiresOnceWhateverHappens(t *testing.T) {
	t.Parallel()
	type ran struct{ fired, missed, dropped int }
	var total ran
	rapid.Check(t, func(rt *rapid.T) {
		spec := every(0, func(s *schedules.Spec) {
			s.Overlap = schedules.AllowAll
			s.CatchUp = time.Duration(rapid.IntRange(10, 2*3600).Draw(rt, "catch up")) * time.Second
			s.TimeZone = rapid.SampledFrom([]string{"UTC", "Europe/Amsterdam", "Australia/Lord_Howe"}).Draw(rt, "zone")
			switch rapid.IntRange(0, 2).Draw(rt, "form") {
			case 0:
				s.Every = time.Duration(rapid.IntRange(300, 3600).Draw(rt, "every")) * time.Second
			case 1:
				s.Every, s.Cron = 0, []string{rapid.SampledFrom([]string{"*/14 * * * *", "0 * * * *", "15,45 2-17 * * *", "*/30 */2 * * sat"}).Draw(rt, "cron")}
			case 2:
				s.Every, s.Offset, s.Cron = 3*time.Hour, 17*time.Minute, []string{"1 * * * *", "@daily"}
			}
		})
		list := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) happening {
			return happening{
				time.Duration(rapid.IntRange(1, 2*3600).Draw(rt, "seconds")) * time.Second,
				rapid.SampledFrom([]string{"kill", "start", "kill", "start", "pause", "unpause", "unpause"}).Draw(rt, "what"),
			}
		}), 1, 12).Draw(rt, "happenings")
		list = append(list, happening{time.Hour, "start"}, happening{2 * time.Hour, "look"})
		suspend := time.Duration(rapid.SampledFrom([]int{1, 3600}).Draw(rt, "suspends after")) * time.Second
		wrong := "" // rapid ends its goroutine, which the bubble must not see
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, spec, func(c *runtime.Config) { c.SuspendAfter = suspend })
			defer s.close()
			begin := time.Now()
			pass(500 * time.Millisecond) // what happens is between two times
			synctest.Wait()

			want, m := map[string]int{}, ran{}
			up, paused, mail := true, false, []string(nil)
			seen := begin // times up to here are dealt with
			deal := func() {
				now, changed := time.Now(), false
				for _, c := range mail {
					changed = changed || paused != (c == "pause")
					paused = c == "pause"
				}
				mail = nil
				due, err := spec.Next(seen, 600)
				if err != nil {
					wrong = err.Error()
				}
				for _, at := range due {
					switch {
					case at.After(now):
					case changed || paused:
						m.dropped++
					case now.Sub(at) > spec.CatchUp:
						m.missed++
					default:
						want["nightly-"+at.Format("20060102T150405Z")] = 1
						m.fired++
					}
				}
				seen = now
			}
			// what is due while the process is up is dealt with at once
			goOn := func(d time.Duration) {
				if !up {
					pass(d)
					return
				}
				end := time.Now().Add(d)
				due, _ := spec.Next(seen, 600)
				for _, at := range due {
					if at.Before(end) {
						<-time.After(time.Until(at) + time.Millisecond)
						synctest.Wait()
						deal()
					}
				}
				<-time.After(time.Until(end))
			}
			for _, h := range list {
				goOn(h.after)
				switch h.what {
				case "kill":
					if up {
						s.p.Kill()
						up = false
					}
				case "start":
					if !up {
						s.p, up = s.w.Start(), true
					}
				case "pause", "unpause":
					if !up {
						continue // what was accepted and what is due then come in any order
					}
					s.tell(schedules.Command{Do: h.what})
					mail = append(mail, h.what)
				}
				synctest.Wait()
				if up {
					deal()
				}
			}
			if diff := cmp.Diff(want, s.begun()); diff != "" {
				wrong = "runs that have begun, and how often (-want +got):\n" + diff
			}
			if got := s.info().Counts; got.Missed != m.missed || got.Fired != m.fired {
				wrong += fmt.Sprintf("got %+v, want %+v", got, m)
			}
			total.fired += m.fired
			total.missed += m.missed
			total.dropped += m.dropped
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
	t.Logf("%+v", total)
	if total.fired < 500 || total.missed < 50 || total.dropped < 50 {
		t.Errorf("the random schedules fired too little: %+v", total)
	}
}

// TestTenThousandTimes: the journal of a schedule stays short, and so does what it
// carries on, while it fires on time for three weeks, and in the long form for more
// than two months.
func TestTenThousandTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, every(time.Second), func(c *runtime.Config) { c.SuspendAfter = time.Hour }) // it stays in memory: nothing is replayed but by a new generation
		defer s.close()
		n := 3_000
		if os.Getenv("PERDURE_CHAOS") != "" {
			n = 10_000
		}
		longest, bytes := 0, 0
		for range n / 100 {
			pass(100 * 10 * time.Minute)
			synctest.Wait()
			entries, err := s.w.Journal.Load(t.Context(), s.ref)
			if err != nil {
				t.Fatal(err)
			}
			size := 0
			for _, e := range entries {
				size += len(e.Entry.String())
			}
			longest, bytes = max(longest, len(entries)), max(bytes, size)
		}
		pass(time.Second)
		synctest.Wait()
		info := s.info()
		if info.Counts.Fired != n || info.Counts.Skipped+info.Counts.Missed+info.Counts.Failed > 0 {
			t.Errorf("got %+v", info.Counts)
		}
		t.Logf("the longest journal had %d entries, of about %d bytes", longest, bytes)
		if longest > 600 {
			t.Errorf("the journal had %d entries", longest)
		}
		late := time.Duration(0)
		for _, f := range info.Recent {
			late = max(late, f.Started.Sub(f.Time))
		}
		if late > 100*time.Millisecond {
			t.Errorf("the last runs began up to %s late", late)
		}
	})
}

// A year's daily schedule that slept through half of it does what its policy says.
func TestOutageOfMonths(t *testing.T) {
	t.Parallel()
	for policy, want := range map[schedules.Overlap]string{
		schedules.Skip:      "fired 187, skipped 177, missed 0",
		schedules.BufferAll: "fired 364, skipped 0, missed 0",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, every(time.Minute, func(s *schedules.Spec) { s.Every, s.Cron, s.Overlap = 0, []string{"0 12 * * *"}, policy }),
				func(c *runtime.Config) { c.Retention = 400 * 24 * time.Hour })
			defer s.close()
			pass(100 * 24 * time.Hour)
			s.p.Kill()
			pass(178 * 24 * time.Hour)
			s.p = s.w.Start()
			pass(86 * 24 * time.Hour)
			synctest.Wait()
			c := s.info().Counts
			expect(t, string(policy), fmt.Sprintf("fired %d, skipped %d, missed %d", c.Fired, c.Skipped, c.Missed), want)
			if ids := slices.Collect(maps.Keys(s.begun())); len(ids) != c.Fired || !strings.HasPrefix(ids[0], "nightly-2000") {
				t.Errorf("%d runs have begun, e.g. %s", len(ids), ids[0])
			}
		})
	}
}
