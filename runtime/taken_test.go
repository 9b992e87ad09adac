package runtime_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// TestP12_ARunThatMessagesComeForAllTheTimeLetsThemGo: it leaves memory for a moment
// once it has taken many, so that they are acknowledged, and misses none.
func TestP12_ARunThatMessagesComeForAllTheTimeLetsThemGo(t *testing.T) {
	const signals, most = 40, 5
	for name, short := range map[string]bool{"that waits for signals": false, "that waits for a moment as well": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
					var got []string
					for range signals {
						f := c.Await("s")
						for short && !f.Done() {
							if _, err := c.Wait(f, c.After("tock", 900*time.Millisecond)); err != nil {
								return "", err
							}
						}
						s, err := result(c, f)
						if err != nil {
							return "", err
						}
						got = append(got, s)
					}
					return strings.Join(got, " "), nil
				}))
				w.Configure = func(c *runtime.Config) { c.MaxTaken, c.SuspendAfter = most, time.Hour }
				w.Processes()[0].Kill()
				w.Start()
				r := ref("w", "a", "1")
				w.Task(r, "", nil)
				var want []string
				for i := range signals {
					<-time.After(300 * time.Millisecond)
					if n := count(w.Left(), "message "); n > most {
						t.Fatalf("%d are not let go after %d signals: %q", n, i, w.Left())
					}
					s := fmt.Sprint(i)
					w.Signal(r, s, "s", text(s))
					want = append(want, s)
				}
				expect(t, w, r, strings.Join(want, " "))
				settle(t, w)
			})
		})
	}
}

// TestUpdates_ThatCannotBeLookedAtAreKeptOnce, however often they are sent again.
func TestUpdates_ThatCannotBeLookedAtAreKeptOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			c.HandleUpdate("u", runtime.UpdateHandler{Handle: func(*runtime.Context, *schemas.Payload) (*schemas.Payload, error) { return nil, nil }})
			if err := c.FinishUpdates(); err != nil {
				return "", err
			}
			return result(c, c.After("sleep", time.Hour))
		}))
		var told []string
		w.Configure = func(c *runtime.Config) {
			c.Answered = func(_ schemas.Ref, a *schemas.UpdateCompleted) { told = append(told, a.GetId()) }
		}
		w.Processes()[0].Kill()
		w.Start()
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		for range 100 {
			<-time.After(5 * time.Second)
			for _, id := range []string{"1", "2"} {
				w.Send(r.Identity, &schemas.Envelope{Type: schemas.Envelope_UPDATE, Id: id, Run: string(r.ID), Method: "u"})
			}
		}
		expect(t, w, r, "")
		settle(t, w)
		if want := []string{"1", "2"}; !slices.Equal(told, want) {
			t.Errorf("%d are told that the run has ended: %q, want %q", len(told), told, want)
		}
	})
}
