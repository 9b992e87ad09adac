package runtime_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// ledger is an actor that keeps what it was told, in order.
func ledger() *runtime.Kind {
	k := kind("ledger", func(c *runtime.Context, in string) (string, error) {
		s := string(c.State().GetData()) + in + ";"
		c.SetState(text(s))
		return s, nil
	})
	k.Type, k.Stateful = "actor", true
	return k
}

func expectLedger(t *testing.T, w *runtimetest.World, key, want string) {
	t.Helper()
	v, _, err := w.States.Get(t.Context(), schemas.Identity{Kind: "ledger", Key: key})
	if got := string(v.GetValue().GetData()); err != nil || got != want {
		t.Errorf("ledger %s: %q, %v; want %q", key, got, err, want)
	}
}

func count(list []string, prefix string) (n int) {
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

// TestSendsToOneIdentityArriveInOrder sends while the run goes on, and with its
// record.
func TestSendsToOneIdentityArriveInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var want strings.Builder
		for i := range 60 {
			fmt.Fprintf(&want, "%d;", i)
		}
		w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
			for i := range 60 {
				c.Send("ledger", to("ledger", "a"), text(fmt.Sprint(i)))
				if i == 29 {
					if _, err := step(c, "in between", give("")); err != nil {
						return "", err
					}
				}
			}
			return "sent", nil
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		expect(t, w, ref("w", "a", "1"), "sent")
		settle(t, w)
		expectLedger(t, w, "a", want.String())
	})
}

// TestP06_MessageRecordedWithTheRunsLastResultLeaves plays the sequence in
// which the entry that records a send also holds the result with which the
// handler returns: the send has not been put out when the run is committed.
func TestP06_MessageRecordedWithTheRunsLastResultLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
			a, _ := c.Step("a", give("a"), runtime.StepOptions{}), c.Step("b", give("b"), runtime.StepOptions{})
			c.Send("send", to("ledger", "sent"), text("x"))
			c.Start("start", to("ledger", "started"), text("y"))
			return result(c, a)
		}))
		var asked atomic.Int32
		w.OnValid = func(*runtimetest.Process) {
			if asked.Add(1) == 3 { // before b begins: until a has reported
				synctest.Wait()
			}
		}
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, "a")
		settle(t, w)
		if got := events(w, r); got[1] != "sent:3 called:4 step:1" && got[1] != "sent:3 called:4 step:1 step:2" {
			t.Errorf("the sequence is another one: %q", got)
		}
		expectLedger(t, w, "sent", "x;")
		expectLedger(t, w, "started", "y;")
	})
}

func TestMessagesOfAHandlerThatReturnsAtOnceLeaveWithItsRecord(t *testing.T) {
	for name, fail := range map[string]error{"completed": nil, "failed": runtime.Errorf("no", "no")} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
					c.Send("send", to("ledger", "sent"), text("x"))
					c.Start("start", to("ledger", "started"), text("y"))
					c.Call("call", to("ledger", "called"), text("z"))
					return "done", fail
				}))
				r := ref("w", "a", "1")
				w.Task(r, "", nil)
				want := "done"
				if fail != nil {
					want = "error no"
				}
				expect(t, w, r, want)
				settle(t, w)
				expectLedger(t, w, "sent", "x;")
				expectLedger(t, w, "started", "y;")
				expectLedger(t, w, "called", "z;")
				if got := events(w, r); len(got) != 2 {
					t.Errorf("it was recorded as %q, want a start and a record", got)
				}
			})
		})
	}
}

func TestMessagesThatWereGivenUpDoNotLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
			d, cancel := c.WithCancel()
			f := d.Call("call", to("ledger", "a"), text("x"))
			cancel()
			_, err := result(c, f)
			s := d.Send("send", to("ledger", "a"), text("y"))
			_, sent := s.Outcome()
			return code(err) + " " + code(sent), nil
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, "cancelled cancelled")
		settle(t, w)
		expectLedger(t, w, "a", "")
	})
}

// TestStartedRunIsStartedThoughItsScopeEnds: before it could be put out.
func TestStartedRunIsStartedThoughItsScopeEnds(t *testing.T) {
	for name, wait := range map[string]bool{"and the run goes on": true, "and the run returns": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
					d, cancel := c.WithCancel()
					f := d.Start("start", to("ledger", "a"), text("x"))
					cancel()
					_, err := result(c, f)
					if wait {
						if _, err := step(c, "step", give("")); err != nil {
							return "", err
						}
					}
					return code(err), nil
				}))
				w.Task(ref("w", "a", "1"), "", nil)
				expect(t, w, ref("w", "a", "1"), "cancelled")
				settle(t, w)
				expectLedger(t, w, "a", "x;")
			})
		})
	}
}

// TestP06_MessageIsSentAgainOnlyWhileItsAcceptanceIsUnknown crashes after the
// record of a send: while that is the last entry, acceptance is unknown.
func TestP06_MessageIsSentAgainOnlyWhileItsAcceptanceIsUnknown(t *testing.T) {
	program := kind("w", func(c *runtime.Context, _ string) (string, error) {
		c.Send("send", to("ledger", "a"), text("x"))
		return result(c, c.After("pause", time.Hour))
	})
	points := func(t *testing.T, when runtimetest.When, n int) (points []string) {
		bubble(t, func(t *testing.T) {
			w := world(t, ledger(), program)
			if n > 0 {
				w.CrashAt(when, n)
			}
			w.Task(ref("w", "a", "1"), "", nil)
			expect(t, w, ref("w", "a", "1"), "")
			settle(t, w)
			expectLedger(t, w, "a", "x;")
			points = w.Points()
		})
		return points
	}
	whole := points(t, 0, 0)
	sends := func(points []string) int { return count(points, "send ledger/a") }
	if n := sends(whole); n != 1 {
		t.Fatalf("undisturbed it is sent %d times: %q", n, whole)
	}
	if got := sends(points(t, runtimetest.After, pointOf(t, whole, "append w/a/1", 2))); got != 1 {
		t.Errorf("crashed after it was recorded: sent %d times, want once", got)
	}
	if got := sends(points(t, runtimetest.Before, pointOf(t, whole, "send ledger/a", 1))); got != 2 {
		t.Errorf("crashed before it was sent: tried %d times, want twice", got)
	}
	if got := sends(points(t, runtimetest.After, pointOf(t, whole, "send ledger/a", 1))); got != 2 {
		t.Errorf("crashed after it was sent and before anything else was recorded: sent %d times, want twice", got)
	}
	if got := sends(points(t, runtimetest.After, pointOf(t, whole, "append w/a/1", 3))); got != 1 {
		t.Errorf("crashed after the next entry: sent %d times, want once", got)
	}
}

// TestUndeliverableMessageFailsItsOwnCallAlone calls a kind that exists and one
// that does not at once.
func TestUndeliverableMessageFailsItsOwnCallAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
			nobody := c.Call("nobody", to("nobody", "a"), text("x"))
			there := c.Call("there", to("ledger", "called"), text("y"))
			c.Send("lost", to("nobody", "a"), text("x"))
			c.Send("sent", to("ledger", "sent"), text("z"))
			_, err := result(c, nobody)
			got, err2 := result(c, there)
			return fmt.Sprintf("%s %s %v", code(err), got, err2), nil
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, "not_found y; <nil>")
		settle(t, w)
		expectLedger(t, w, "sent", "z;")
	})
}

func TestUndeliverableMessageInARecordIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
			c.Send("lost", to("nobody", "a"), text("x"))
			c.Send("sent", to("ledger", "sent"), text("z"))
			return "done", nil
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		expect(t, w, ref("w", "a", "1"), "done")
		settle(t, w)
		expectLedger(t, w, "sent", "z;")
	})
}

func TestMessagesToNamesOfAWrongFormFailAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			_, err := result(c, c.Call("call", to("no kind", "a"), nil))
			_, err2 := result(c, c.Call("call", to("w", ""), nil))
			_, err3 := c.Send("send", to("w", "\xff"), nil).Outcome()
			return code(err) + " " + code(err2) + " " + code(err3), nil
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		expect(t, w, ref("w", "a", "1"), "invalid invalid invalid")
		settle(t, w)
	})
}
