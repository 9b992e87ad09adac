package runtime_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// TestP25_TimersAreDueByTheStoresClock, which this machine's differs from: by the time at
// which one is set, and by what is not known of that.
func TestP25_TimersAreDueByTheStoresClock(t *testing.T) {
	const within = 20 * time.Millisecond
	for name, ahead := range map[string]time.Duration{"the machine is ahead": time.Hour, "the machine is behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := runtimetest.NewWorld(sleeper())
				w.Configure = func(c *runtime.Config) {
					c.SuspendAfter = 100 * time.Hour
					c.Clock = func() (time.Time, time.Duration) { return time.Now().Add(-ahead), within }
				}
				w.Start()
				r, began := ref("sleeper", "a", "1"), time.Now()
				w.Task(r, "", nil)
				expect(t, w, r, (48*time.Hour + within).String())
				if took := time.Since(began); took != 48*time.Hour+within {
					t.Errorf("two days took %s, want %s more", took, within)
				}
				for _, wrong := range w.Close() {
					t.Error(wrong)
				}
			})
		})
	}
}

// TestP25_AClockThatIsSetIsSeenByWhoWaitsInMemory, which is a run that has a step in
// flight: soon where it was set ahead, and no timer is early where it was set back.
func TestP25_AClockThatIsSetIsSeenByWhoWaitsInMemory(t *testing.T) {
	for name, set := range map[string]struct{ by, earliest, latest time.Duration }{
		"ahead": {45 * time.Minute, 15 * time.Minute, 16 * time.Minute},
		"back":  {-45 * time.Minute, 105 * time.Minute, 106 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var took time.Duration
				began, over := time.Now(), make(chan struct{})
				fired := sync.OnceFunc(func() { took = time.Since(began); close(over) })
				w := runtimetest.NewWorld(kind("waiter", func(c *runtime.Context, _ string) (string, error) {
					long := c.Step("long", func(context.Context) (*schemas.Payload, error) { <-over; return text("done"), nil }, runtime.StepOptions{})
					if _, err := result(c, c.After("sleep", time.Hour)); err != nil {
						return "", err
					}
					fired()
					return result(c, long)
				}))
				var ahead atomic.Int64
				w.Configure = func(c *runtime.Config) {
					c.Clock = func() (time.Time, time.Duration) { return time.Now().Add(time.Duration(ahead.Load())), 0 }
				}
				w.Start()
				r := ref("waiter", "a", "1")
				w.Task(r, "", nil)
				time.AfterFunc(15*time.Minute-time.Second, func() { ahead.Store(int64(set.by)) })
				expect(t, w, r, "done")
				if took < set.earliest || took > set.latest {
					t.Errorf("an hour took %s by this machine's clock, want %s to %s", took, set.earliest, set.latest)
				}
				for _, wrong := range w.Close() {
					t.Error(wrong)
				}
			})
		})
	}
}
