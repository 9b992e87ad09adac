package schedules_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
	"github.com/perdure/perdure/durable/schedules"
)

// Report is what the tests' schedules start. It takes the time that it is given.
var Report = durable.DeclareWorkflow[time.Duration, string]("report")

func report(ctx durable.Context, takes time.Duration) (string, error) {
	if takes < 0 {
		return "", durable.Fail("no_paper", "out of paper")
	}
	name, at, ok := schedules.FiredAt(ctx.Info())
	if err := durable.Sleep(ctx, takes); err != nil {
		return "", err
	}
	return fmt.Sprint(name, " ", at.Format(time.RFC3339), " ", ok), nil
}

const nightly = "schedule/nightly/nightly"

func kinds() []*durable.Kind {
	return []*durable.Kind{schedules.Kind(""), durable.Workflow(Report, report)}
}

// every starts a report each ten minutes, the bubble's clock begins at midnight.
func every(takes time.Duration, change ...func(*schedules.Spec)) schedules.Spec {
	s := schedules.Spec{Every: 10 * time.Minute, Target: schedules.Target{Kind: "report", Input: json.RawMessage(fmt.Sprint(int64(takes)))}}
	for _, c := range change {
		c(&s)
	}
	return s
}

func create(t *testing.T, w *durabletest.World, spec schedules.Spec) *durabletest.Run[schedules.Counts] {
	t.Helper()
	r, err := durabletest.Start(w, schedules.Schedule.At("nightly"), spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pass(d time.Duration) { <-time.After(d) }

func show(t *testing.T, w *durabletest.World) schedules.Info {
	t.Helper()
	info, err := durabletest.Status[schedules.Info](w, nightly)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func tell(w *durabletest.World, c schedules.Command) {
	durabletest.Signal(w, nightly, schedules.Send, c)
}

// clocks lists the times of what was fired, with how it is going.
func clocks(list []schedules.Fired) string {
	var out []string
	for _, f := range slices.Backward(list) {
		s := f.Time.Format("15:04") + " " + f.Status
		if f.Manual {
			s += " by hand"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

func TestScheduleStartsARunAtEachTimeAndShowsThem(t *testing.T) {
	t.Parallel()
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		s := create(t, w, every(time.Minute))
		pass(25*time.Minute + time.Second)
		info := show(t, w)
		expect(t, "recent", clocks(info.Recent), "00:10 completed, 00:20 completed")
		expect(t, "run", info.Recent[0].Run, "report/nightly-20000101T002000Z/nightly-20000101T002000Z")
		expect(t, "next", fmt.Sprint(info.Next[0], len(info.Next)), "2000-01-01 00:30:00 +0000 UTC 5")
		if late := info.Recent[0].Started.Sub(info.Recent[0].Time); late < 0 || late > time.Second {
			t.Errorf("started %s late", late)
		}
		tell(w, schedules.Command{Do: schedules.Delete})
		counts, err := s.Result()
		if want := (schedules.Counts{Fired: 2, Completed: 2}); err != nil || counts != want {
			t.Errorf("got %+v, %v, want %+v", counts, err, want)
		}
	}, kinds()...)
}

func TestTargetsLearnTheirTime(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		got := make(chan string, 10)
		durabletest.Fake(w, durable.Declare[map[string]any, durable.None]("stock.count"), func(_ context.Context, in map[string]any) (durable.None, error) {
			got <- fmt.Sprint(in)
			return durable.None{}, nil
		})
		create(t, w, every(0, func(s *schedules.Spec) {
			s.Target = schedules.Target{Kind: "stock", Method: "count", Key: "{schedule}-{time}", Input: json.RawMessage(`{"at": "{time}", "by": ["{schedule}", "not {time}"], "{time}": 1}`)}
		}))
		expect(t, "input", <-got, "map[at:2000-01-01T00:10:00Z by:[nightly not {time}] {time}:1]")
		pass(time.Second)
		expect(t, "run", show(t, w).Recent[0].Run, "stock/nightly-20000101T001000Z/nightly-20000101T001000Z")
		tell(w, schedules.Command{Do: schedules.Update, Spec: new(every(0))})
		pass(20 * time.Minute)
		out, err := durabletest.Call(w, Report.At("nightly-20000101T002000Z"), 0) // the run that was started
		if err != nil || out != "nightly 2000-01-01T00:20:00Z true" {
			t.Errorf("got %q, %v", out, err)
		}
	}, kinds()...)
}

func TestOverlap(t *testing.T) {
	for policy, want := range map[schedules.Overlap]string{ // each run takes 25 minutes; looked at after an hour and a second
		schedules.Skip:           "recent 00:10 completed; running 00:40 running; fired 2, skipped 4, waiting 0",
		schedules.BufferOne:      "recent 00:10 completed, 00:20 completed; running 00:40 running; fired 3, skipped 3, waiting 0",
		schedules.BufferAll:      "recent 00:10 completed, 00:20 completed; running 00:30 running; fired 3, skipped 0, waiting 3",
		schedules.CancelOther:    "recent 00:10 cancelled, 00:20 cancelled, 00:30 cancelled, 00:40 cancelled, 00:50 cancelled; running 01:00 running; fired 6, skipped 0, waiting 0",
		schedules.TerminateOther: "recent 00:10 cancelled, 00:20 cancelled, 00:30 cancelled, 00:40 cancelled, 00:50 cancelled; running 01:00 running; fired 6, skipped 0, waiting 0",
		schedules.AllowAll:       "recent 00:10 completed, 00:20 completed, 00:30 completed; running 00:40 running, 00:50 running, 01:00 running; fired 6, skipped 0, waiting 0",
	} {
		t.Run(string(policy), func(t *testing.T) {
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				create(t, w, every(25*time.Minute, func(s *schedules.Spec) { s.Overlap = policy }))
				pass(time.Hour + time.Second)
				i := show(t, w)
				slices.Reverse(i.Running)
				expect(t, "after an hour", fmt.Sprintf("recent %s; running %s; fired %d, skipped %d, waiting %d",
					clocks(i.Recent), clocks(i.Running), i.Counts.Fired, i.Counts.Skipped, i.Counts.Waiting), want)
			}, kinds()...)
		})
	}
}

func TestPauseTriggerUpdate(t *testing.T) {
	t.Parallel()
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		create(t, w, every(time.Minute))
		pass(15 * time.Minute)
		tell(w, schedules.Command{ID: "p", Do: schedules.Pause, Reason: "freeze"})
		pass(20 * time.Minute) // 00:35
		tell(w, schedules.Command{Do: schedules.Trigger})
		pass(2 * time.Minute)
		info := show(t, w)
		expect(t, "paused", fmt.Sprint(info.Paused, info.Reason, len(info.Next), info.Commands[1].ID), "truefreeze0p")
		tell(w, schedules.Command{Do: schedules.Unpause})
		pass(8 * time.Minute) // 00:45
		tell(w, schedules.Command{Do: schedules.Update, Spec: new(every(time.Minute, func(s *schedules.Spec) { s.Every, s.Offset = time.Hour, 50*time.Minute }))})
		pass(20 * time.Minute)
		info = show(t, w)
		expect(t, "recent", clocks(info.Recent), "00:10 completed, 00:35 completed by hand, 00:40 completed, 00:50 completed")
		expect(t, "next", info.Next[0].Format("15:04"), "01:50")
		if info.Paused || info.Counts.Skipped+info.Counts.Missed > 0 {
			t.Errorf("got %+v", info)
		}
	}, kinds()...)
}

func TestPauseOnFailure(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		create(t, w, every(-1, func(s *schedules.Spec) { s.PauseOnFailure = true }))
		pass(time.Hour)
		info := show(t, w)
		expect(t, "recent", clocks(info.Recent), "00:10 failed")
		expect(t, "reason", info.Reason, "report/nightly-20000101T001000Z/nightly-20000101T001000Z failed: no_paper: out of paper")
	}, kinds()...)
}

func TestTargetThatNobodyHostsFailsAndTheScheduleGoesOn(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		create(t, w, every(0, func(s *schedules.Spec) { s.Target.Kind = "nobody" }))
		pass(25 * time.Minute)
		info := show(t, w)
		expect(t, "recent", clocks(info.Recent), "00:10 failed, 00:20 failed")
		if !strings.Contains(info.Recent[0].Error, `nothing hosts the kind "nobody"`) {
			t.Errorf("got %q", info.Recent[0].Error)
		}
	}, kinds()...)
}

func TestBackfill(t *testing.T) {
	t.Parallel()
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		create(t, w, every(time.Minute, func(s *schedules.Spec) { s.Paused = true }))
		pass(time.Hour + 5*time.Minute)
		begin := time.Now().Add(-65 * time.Minute)
		tell(w, schedules.Command{Do: schedules.Backfill, From: begin.Add(20 * time.Minute), To: begin.Add(40 * time.Minute)})
		pass(5 * time.Minute)
		expect(t, "recent", clocks(show(t, w).Recent), "00:20 completed by hand, 00:30 completed by hand, 00:40 completed by hand")
		// the same times again are the same runs, or others
		tell(w, schedules.Command{Do: schedules.Backfill, From: begin.Add(40 * time.Minute), To: begin.Add(40 * time.Minute)})
		pass(5 * time.Minute)
		expect(t, "run", show(t, w).Recent[0].Run, "report/nightly-20000101T004000Z/nightly-20000101T004000Z")
		tell(w, schedules.Command{Do: schedules.Backfill, From: begin.Add(40 * time.Minute), To: begin.Add(40 * time.Minute), Again: true})
		pass(5 * time.Minute)
		expect(t, "run", show(t, w).Recent[0].Run, "report/nightly-20000101T004000Z-b1/nightly-20000101T004000Z-b1")
		if info := show(t, w); info.Counts.Manual != 5 || len(info.Backfills) > 0 {
			t.Errorf("got %+v", info)
		}
	}, kinds()...)
}

func TestLimitAndEnd(t *testing.T) {
	for name, change := range map[string]func(*schedules.Spec){
		"limit": func(s *schedules.Spec) { s.Limit = 2 },
		"end":   func(s *schedules.Spec) { s.End = time.Date(2000, 1, 1, 0, 20, 0, 0, time.UTC) },
	} {
		t.Run(name, func(t *testing.T) {
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				create(t, w, every(0, change))
				pass(3 * time.Hour)
				info := show(t, w)
				expect(t, "recent", clocks(info.Recent), "00:10 completed, 00:20 completed")
				expect(t, "next", fmt.Sprint(info.Next), "[]")
				tell(w, schedules.Command{Do: schedules.Trigger})
				pass(time.Minute)
				expect(t, "recent", clocks(show(t, w).Recent), "00:10 completed, 00:20 completed, 03:00 completed by hand")
			}, kinds()...)
		})
	}
}

func TestCommandsOfAWrongFormAreSaidAndHarmNothing(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		create(t, w, every(0))
		pass(time.Minute)
		durabletest.Signal(w, nightly, durable.DeclareSignal[any]("command"), any("pause"))
		tell(w, schedules.Command{ID: "x", Do: "explode"})
		tell(w, schedules.Command{Do: schedules.Update, Spec: new(schedules.Spec)})
		tell(w, schedules.Command{Do: schedules.Backfill, From: time.Now(), To: time.Now().Add(time.Hour)})
		pass(10 * time.Minute)
		info := show(t, w)
		expect(t, "recent", clocks(info.Recent), "00:10 completed")
		for i, want := range []string{"which is to come", "it has no times", `there is no command "explode"`, "cannot unmarshal"} {
			if !strings.Contains(info.Commands[i].Error, want) {
				t.Errorf("command %d: %+v, want %q", i, info.Commands[i], want)
			}
		}
	}, kinds()...)
}

func TestJitterIsTheSameForTheSameTimeAndWithinBounds(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		create(t, w, every(0, func(s *schedules.Spec) { s.Jitter = time.Hour })) // more than the interval
		pass(2 * time.Hour)
		seen := map[time.Duration]bool{}
		info := show(t, w)
		for _, f := range info.Recent {
			late := f.Started.Sub(f.Time)
			seen[late.Truncate(time.Millisecond)] = true
			if late < 0 || late >= 10*time.Minute {
				t.Errorf("%s started %s late", f.Time, late)
			}
		}
		if len(info.Recent) != 10 || len(seen) < 9 || info.Counts.Fired+info.Counts.Skipped < 11 {
			t.Errorf("got %+v", info)
		}
	}, kinds()...)
}
