package runtime_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// chat is a kind whose runs take an hour, and clean up if they are cancelled.
func chat(g *gauge, policy schemas.Busy) *runtime.Kind {
	work := works(g, time.Hour)
	k := kind("chat", func(c *runtime.Context, in string) (string, error) {
		out, err := work(c, in)
		if errors.Is(err, runtime.ErrCancelled) {
			if _, cerr := step(c.WithoutCancel(), "clean", give("cleaned")); cerr != nil {
				return "", cerr
			}
		}
		return out, err
	})
	k.Busy = policy
	return k
}

// ask sends a task with a policy of its own.
func ask(w *runtimetest.World, id string, policy schemas.Busy) schemas.Ref {
	w.Send(schemas.Identity{Kind: "chat", Key: "ann"}, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: id, Payload: text(id), Busy: policy})
	return ref("chat", "ann", id)
}

const (
	queue     = schemas.Busy_BUSY_QUEUE
	reject    = schemas.Busy_BUSY_REJECT
	interrupt = schemas.Busy_BUSY_INTERRUPT
	replace   = schemas.Busy_BUSY_REPLACE
)

// TestBusy_RejectedIsNeverExecuted, whether the open run is in memory or not, and
// what is sent when it has ended is.
func TestBusy_RejectedIsNeverExecuted(t *testing.T) {
	for _, passivate := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			g := &gauge{}
			w := world(t, chat(g, reject))
			w.Passivate = passivate
			a := ask(w, "a", 0)
			synctest.Wait()
			b := ask(w, "b", 0)
			rec := expect(t, w, b, "error busy")
			if rec.GetOpen() != a.String() || rec.GetStatus() != schemas.Status_FAILED {
				t.Errorf("b is %s, with %q open; want failed, and %s", rec.GetStatus(), rec.GetOpen(), a)
			}
			queued := ask(w, "queued", queue)
			<-time.After(time.Minute) // the run is suspended
			expect(t, w, ask(w, "c", 0), "error busy")
			ask(w, "b", 0) // sent again
			expect(t, w, a, "a")
			expect(t, w, queued, "queued")
			settle(t, w)
			expect(t, w, ask(w, "d", 0), "d")
			ask(w, "b", 0) // and later
			settle(t, w)
			if want := []string{"a", "queued", "d"}; !slices.Equal(g.order, want) || g.most != 1 {
				t.Errorf("%q ran, at most %d at once, want %q", g.order, g.most, want)
			}
		})
	}
}

// TestBusy_WhoWaitsForARejectedRunIsAnswered with the code of it.
func TestBusy_WhoWaitsForARejectedRunIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		caller := kind("caller", func(c *runtime.Context, in string) (string, error) {
			to := to("chat", "ann")
			to.Busy = reject
			return result(c, c.Call("chat", to, text(in)))
		})
		w := world(t, chat(g, 0), caller)
		a := ask(w, "a", 0)
		synctest.Wait()
		began := time.Now()
		expect(t, w, start(w, ref("caller", "x", "1"), "x"), "error busy")
		if took := time.Since(began); took > time.Second {
			t.Errorf("the answer took %s: it is for at once", took)
		}
		expect(t, w, a, "a")
		settle(t, w)
	})
}

// TestBusy_AnInterruptionCancelsTheOpenRunAndGoesNext, before those that wait;
// replacing, they are superseded.
func TestBusy_AnInterruptionCancelsTheOpenRunAndGoesNext(t *testing.T) {
	for _, policy := range []schemas.Busy{interrupt, replace} {
		for _, pause := range []time.Duration{0, time.Minute} {
			bubble(t, func(t *testing.T) {
				g := &gauge{}
				w := world(t, chat(g, 0))
				a := ask(w, "a", 0)
				synctest.Wait()
				b, c := ask(w, "b", 0), ask(w, "c", 0)
				if pause > 0 {
					<-time.After(pause)
				}
				m := ask(w, "m", policy)
				late := ask(w, "late", 0)
				rec := expect(t, w, a, "error cancelled")
				if rec.GetSupersededBy() != m.String() || rec.GetStatus() != schemas.Status_CANCELLED {
					t.Errorf("%s %s: a is %s, superseded by %q; want cancelled, and %s", policy, pause, rec.GetStatus(), rec.GetSupersededBy(), m)
				}
				expect(t, w, m, "m")
				order := []string{"a", "m", "b", "c", "late"}
				if policy == replace {
					order = []string{"a", "m", "late"}
					for _, r := range []schemas.Ref{b, c} {
						if rec := expect(t, w, r, "error superseded"); rec.GetSupersededBy() != m.String() || rec.GetStatus() != schemas.Status_CANCELLED {
							t.Errorf("%s is %s, superseded by %q; want cancelled, and %s", r, rec.GetStatus(), rec.GetSupersededBy(), m)
						}
					}
				}
				expect(t, w, late, "late")
				settle(t, w)
				if !slices.Equal(g.order, order) || g.most != 1 {
					t.Errorf("%q ran, at most %d at once, want %q", g.order, g.most, order)
				}
			})
		}
	}
}

// TestBusy_NothingToInterrupt: an identity that is idle takes the task as any.
func TestBusy_NothingToInterrupt(t *testing.T) {
	for _, policy := range []schemas.Busy{reject, interrupt, replace} {
		bubble(t, func(t *testing.T) {
			g := &gauge{}
			w := world(t, chat(g, policy))
			expect(t, w, ask(w, "a", 0), "a")
			settle(t, w)
			expect(t, w, ask(w, "b", 0), "b")
			settle(t, w)
		})
	}
}

// TestBusy_ACrashAnywhereRefusesOnceOrNotAtAll: who was told that it is busy is
// not executed, and nothing is lost, wherever a process dies.
func TestBusy_ACrashAnywhereRefusesOnceOrNotAtAll(t *testing.T) {
	for _, policy := range []schemas.Busy{reject, interrupt, replace} {
		play := func(t *testing.T, when runtimetest.When, n int) (points []string) {
			bubble(t, func(t *testing.T) {
				g := &gauge{}
				w := world(t, chat(g, 0))
				if n > 0 {
					w.CrashAt(when, n)
				}
				ask(w, "a", 0)
				<-time.After(2 * time.Second) // suspended, if nothing dies
				ask(w, "b", 0)
				m := ask(w, "m", policy)
				<-time.After(10 * time.Second)
				last, _, err := w.Journal.Last(t.Context(), m)
				told := err == nil && last.Entry.GetRecord().GetError().GetCode() == "busy"
				settle(t, w)
				for _, id := range []string{"a", "b", "m"} {
					last, ok, err := w.Journal.Last(t.Context(), ref("chat", "ann", id))
					rec := last.Entry.GetRecord()
					if err != nil || !ok || rec == nil {
						t.Fatalf("%s has no record: %v", id, err)
					}
					ran, code := slices.Contains(g.order, id), rec.GetError().GetCode()
					if (code == "busy" || code == "superseded") == ran || code == "" && !ran {
						t.Errorf("%s ended with %q, and its code ran: %v", id, code, ran)
					}
					if id == "m" && told && code != "busy" {
						t.Errorf("m was told that the identity is busy, and ended with %q", code)
					}
				}
				if g.most != 1 {
					t.Errorf("%d ran at once", g.most)
				}
				if i, j := slices.Index(g.order, "m"), slices.Index(g.order, "b"); policy == interrupt && (i < 0 || j >= 0 && j < i) {
					t.Errorf("%q ran, want what interrupts before what waits", g.order)
				}
				points = w.Points()
			})
			return points
		}
		points := play(t, 0, 0)
		for n, what := range points {
			for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
				t.Run(fmt.Sprintf("%s %d %d %s", policy, when, n+1, what), func(t *testing.T) { play(t, when, n+1) })
			}
		}
	}
}
