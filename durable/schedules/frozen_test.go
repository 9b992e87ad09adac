package schedules_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/perdure/perdure/durable/durabletest"
	"github.com/perdure/perdure/durable/schedules"
)

var freeze = flag.String("freeze", "", "name of a new set of journals in testdata/journals, for TestFreeze")

// frozen are schedules at which their journals are kept: what this build's
// schedules do between two generations.
var frozen = map[string]func(t *testing.T, w *durabletest.World){
	"policies": func(t *testing.T, w *durabletest.World) {
		create(t, w, every(25*time.Minute, func(s *schedules.Spec) {
			s.Overlap, s.Jitter, s.CatchUp = schedules.CancelOther, time.Minute, time.Hour
		}))
		pass(22 * time.Minute)
		tell(w, schedules.Command{ID: "t", Do: schedules.Trigger, Overlap: schedules.BufferAll})
		tell(w, schedules.Command{ID: "u", Do: schedules.Update, Spec: new(every(-1, func(s *schedules.Spec) {
			s.Overlap, s.PauseOnFailure = schedules.TerminateOther, true
		}))})
		pass(12 * time.Minute)
		tell(w, schedules.Command{ID: "x", Do: "explode"})
		pass(time.Minute)
	},
	"backfill": func(t *testing.T, w *durabletest.World) {
		create(t, w, every(time.Minute, func(s *schedules.Spec) { s.Paused = true }))
		begin := time.Now()
		pass(45 * time.Minute)
		tell(w, schedules.Command{Do: schedules.Backfill, From: begin, To: begin.Add(30 * time.Minute)})
		pass(3 * time.Minute)
		tell(w, schedules.Command{Do: schedules.Unpause})
		pass(3 * time.Minute)
	},
	"generations": func(t *testing.T, w *durabletest.World) {
		create(t, w, every(time.Minute, func(s *schedules.Spec) {
			s.Every, s.Cron, s.TimeZone = 0, []string{"*/5 * * * *", "@daily"}, "Australia/Lord_Howe"
		}))
		pass(24*time.Hour + 2*time.Minute)
	},
}

// Schedules that are open when a build is deployed go on: their journals agree with
// its code. Where that changes, it asks for durable.Version.
func TestOpenSchedulesOfEarlierBuildsGoOn(t *testing.T) {
	durabletest.Replay(t, "testdata/journals/*/*.json", kinds()...)
}

// TestFreeze keeps a set of journals, which is never changed afterwards:
//
//	go test ./durable/schedules -run TestFreeze -freeze 2026-11-26
func TestFreeze(t *testing.T) {
	t.Parallel()
	for name, play := range frozen {
		durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
			play(t, w)
			journal, err := w.Export(nightly)
			if err != nil {
				t.Fatal(err)
			}
			if err := durabletest.Check(journal, kinds()...); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if *freeze == "" {
				return
			}
			dir := filepath.Join("testdata", "journals", *freeze)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(filepath.Join(dir, name+".json"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(journal); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}, kinds()...)
	}
}
