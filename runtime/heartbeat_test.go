package runtime_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// rows is a kind whose step works through as many rows, a minute each, and goes on
// where the one before it was; done counts the rows that were done.
func rows(n int, done map[int]int, opts runtime.StepOptions) *runtime.Kind {
	return kind("rows", func(c *runtime.Context, _ string) (string, error) {
		return result(c, c.Step("import", func(ctx context.Context) (*schemas.Payload, error) {
			s, _ := runtime.StepFrom(ctx)
			first := 0
			if p := s.Progress(); p != nil {
				var err error
				if first, err = strconv.Atoi(string(p.GetData())); err != nil {
					return nil, err
				}
			}
			for row := first; row < n; row++ {
				select {
				case <-time.After(time.Minute):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				done[row]++
				if err := s.Heartbeat(text(strconv.Itoa(row + 1))); err != nil {
					return nil, err
				}
			}
			return text("all"), nil
		}, opts))
	})
}

func TestHeartbeat_ProgressIsNotLostWithItsProcess(t *testing.T) {
	r := ref("rows", "a", "1")
	var points []string
	play := func(t *testing.T, crash func(w *runtimetest.World)) {
		bubble(t, func(t *testing.T) {
			done := map[int]int{}
			w := world(t, rows(12, done, runtime.StepOptions{}))
			crash(w)
			w.Task(r, "", nil)
			rec := expect(t, w, r, "all")
			settle(t, w)
			again := 0
			for row := range 12 {
				if done[row] == 0 {
					t.Errorf("row %d was never done", row)
				}
				again += done[row] - 1
			}
			if again > 2 {
				t.Errorf("%d rows were done again, want those since the last record: %v", again, done)
			}
			if len(rec.GetProgress()) != 0 {
				t.Errorf("the record has the progress %v of a step that is over", rec.GetProgress())
			}
			points = w.Points()
		})
	}
	play(t, func(*runtimetest.World) {})
	if n := len(points); n < 9 {
		t.Fatalf("%d points, want an append for most rows", n)
	}
	for n := range points {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			play(t, func(w *runtimetest.World) { w.CrashAt(when, n+1) })
		}
	}
}

func TestHeartbeat_IsShownAndRecordedEverLessOften(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("long", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Step("dig", func(ctx context.Context) (*schemas.Payload, error) {
				s, _ := runtime.StepFrom(ctx)
				for second := range 10 * 3600 {
					if err := s.Heartbeat(text(strconv.Itoa(second))); err != nil {
						return nil, err
					}
					select {
					case <-time.After(time.Second):
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}
				return text("dug"), nil
			}, runtime.StepOptions{Heartbeat: time.Minute}))
		}))
		r := ref("long", "a", "1")
		w.Task(r, "", nil)
		<-time.After(time.Hour)
		entries, err := w.Journal.Load(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		shown, _ := runtime.Timeline(entries)
		if len(shown.GetProgress()) != 1 || shown.GetProgress()[0].GetName() != "dig" {
			t.Fatalf("after an hour it shows %v, want the step's progress", shown.GetProgress())
		}
		if second, err := strconv.Atoi(string(shown.GetProgress()[0].GetProgress().GetData())); err != nil || second < 3100 || second > 3600 {
			t.Errorf("after an hour it shows %d, %v, want what was said in the last eighth of it", second, err)
		}
		expect(t, w, r, "dug")
		settle(t, w)
		if n := len(events(w, r)); n < 40 || n > 120 {
			t.Errorf("%d entries for ten hours, want few that come ever less often", n)
		}
	})
}

func TestHeartbeat_ASilentAttemptIsEndedAndTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		attempt := 0
		w := world(t, kind("silent", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Step("hang", func(ctx context.Context) (*schemas.Payload, error) {
				s, _ := runtime.StepFrom(ctx)
				if attempt++; attempt == 3 {
					return text("saw " + string(s.Progress().GetData())), nil
				}
				for range attempt * 3 {
					if err := s.Heartbeat(text(strconv.Itoa(attempt))); err != nil {
						return nil, err
					}
					<-time.After(50 * time.Second)
				}
				<-ctx.Done() // it hangs
				return nil, ctx.Err()
			}, runtime.StepOptions{Heartbeat: time.Minute}))
		}))
		began := time.Now()
		w.Task(ref("silent", "a", "1"), "", nil)
		expect(t, w, ref("silent", "a", "1"), "saw 2")
		// a minute after the last of three beats, and after the last of six
		if want, took := (100+60+250+60)*time.Second, time.Since(began); took < want || took > want+time.Second {
			t.Errorf("it took %v, want %v", took, want)
		}
		settle(t, w)
	})
}

func TestHeartbeat_SaysWhatIsWrong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var err error
		w := world(t, kind("large", func(c *runtime.Context, _ string) (string, error) {
			return step(c, "s", func(ctx context.Context) (*schemas.Payload, error) {
				s, _ := runtime.StepFrom(ctx)
				err = s.Heartbeat(text(strings.Repeat("x", 17<<10)))
				return text("done"), nil
			})
		}))
		w.Task(ref("large", "a", "1"), "", nil)
		expect(t, w, ref("large", "a", "1"), "done")
		if !errors.Is(err, runtime.ErrTooLarge) {
			t.Errorf("17 KiB of progress: %v, want ErrTooLarge", err)
		}
		settle(t, w)
	})
}

// TestHeartbeat_OfAnAttemptThatIsOverGoesNowhere: a body that was left behind keeps
// no later attempt alive, changes nothing of what it is given, and is told so.
func TestHeartbeat_OfAnAttemptThatIsOverGoesNowhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		attempts, found, said := 0, "", error(nil)
		left := make(chan struct{})
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Step("s", func(ctx context.Context) (*schemas.Payload, error) {
				s, _ := runtime.StepFrom(ctx)
				switch attempts++; attempts {
				case 1: // ignores its context, and beats for ever
					defer close(left)
					if err := s.Heartbeat(text("first")); err != nil {
						return nil, err
					}
					<-time.After(2 * time.Minute)
					for range 1000 {
						said = s.Heartbeat(text("stale"))
						s.Annotate("stale", "yes")
						<-time.After(time.Second)
					}
				case 2: // hangs
					<-ctx.Done()
					return nil, context.Cause(ctx)
				}
				found = string(s.Progress().GetData())
				s.Annotate("fresh", "yes")
				return text("done"), nil
			}, runtime.StepOptions{Heartbeat: time.Minute, Retry: runtime.RetryPolicy{Attempts: 3, Backoff: time.Minute}}))
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		rec := expect(t, w, r, "done")
		<-left
		if found != "first" || !errors.Is(said, runtime.ErrCancelled) {
			t.Errorf("the third attempt found %q, the first was told %v", found, said)
		}
		s := rec.GetSteps()[0]
		if s.GetAttempts() != 3 || time.Duration(s.GetTook()) > 10*time.Minute || len(s.GetAttributes()) != 1 {
			t.Errorf("the step is %v, want three attempts, the second ended in time, and what the last said", s)
		}
		settle(t, w)
	})
}
