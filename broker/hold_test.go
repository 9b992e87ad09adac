package broker

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// However often a node is asked, it goes on after ten minutes; when it stood still,
// and for how long, is logged.
func TestHold_EndsWhateverIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := &Broker{cfg: Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, pub: &publisher{gate: &gate{}}}
		ask := func(req string) error { return b.held(t.Context(), []byte(req)) }
		if err := ask(`{"id":"x"}`); err != nil {
			t.Fatal(err)
		}
		again := time.NewTicker(holdEvery)
		defer again.Stop()
		began, err := time.Now(), error(nil)
		for err == nil && time.Since(began) < time.Hour {
			<-again.C
			err = ask(`{"id":"x","again":true}`)
		}
		if held := time.Since(began); err == nil || held < MaxPause || held > MaxPause+holdEvery {
			t.Errorf("it stood still for %v, and then answers %v", held, err)
		}
		if err := b.pub.gate.enter(t.Context()); err != nil {
			t.Error(err)
		}
		b.pub.gate.leave()
		b.hold.mu.Lock() // under which it is logged
		defer b.hold.mu.Unlock()
		for _, want := range []string{"stands still for a backup", "goes on after a backup", "backup=x", fmt.Sprint(MaxPause)} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not say %q:\n%s", want, log.String())
			}
		}
	})
}
