package runtime_test

import (
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
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
