package perdure_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
)

// A schedule that is created again before it has begun is shown when it has, and
// another spec is refused: the first answer may have been lost, or somebody else was
// faster.
func TestScheduleThatIsCreatedAgainBeforeItBegins(t *testing.T) {
	t.Parallel()
	held, goOn := make(chan struct{}), make(chan struct{})
	var first sync.Once
	node := running(t, "", perdure.Host(greetKind()), perdure.Faults(func(op, subject string, after bool) {
		if op == "append" && !after && strings.Contains(subject, ".schedule.daily.") {
			first.Do(func() { close(held); <-goOn })
		}
	}))
	ctx, c := testContext(t), node.Client()
	create := func(cron string) (*perdure.ScheduleInfo, error) {
		return perdure.Schedule(ctx, c, "daily", schedules.Spec{Cron: []string{cron}}, greet.At(""), "you")
	}
	created := make(chan error, 1)
	go func() { _, err := create("@daily"); created <- err }()
	<-held
	time.AfterFunc(time.Second/2, func() { close(goOn) }) // whoever asks later finds it begun
	if _, err := create("@weekly"); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("another spec: got %v, want a conflict", err)
	}
	if err := <-created; err != nil {
		t.Error(err)
	}
	if info, err := create("@daily"); err != nil || len(info.Next) != 5 {
		t.Errorf("created again: %+v, %v", info, err)
	}
}

// TestSchedule from Go: created once, commanded, deleted, created again.
func TestSchedule(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(greetKind(), accountKind()), perdure.SuspendAfter(10*time.Millisecond))
	ctx, c := testContext(t), node.Client()
	spec := schedules.Spec{Cron: []string{"@yearly"}, TimeZone: "Europe/Amsterdam"}
	info, err := perdure.Schedule(ctx, c, "new year", spec, greet.At(""), "you")
	if err != nil {
		t.Fatal(err)
	}
	if info.Run != "schedule/new%20year/new%20year" || len(info.Next) != 5 || info.Next[0].In(time.UTC).Hour() != 23 {
		t.Errorf("got %+v", info)
	}
	again, err := perdure.Schedule(ctx, c, "new year", spec, greet.At(""), "you")
	if err != nil || again.Run != info.Run {
		t.Errorf("created again: %+v, %v", again, err)
	}
	for what, err := range map[string]error{
		"another spec":        second(perdure.Schedule(ctx, c, "new year", spec, greet.At(""), "me")),
		"no times":            second(perdure.Schedule(ctx, c, "never", schedules.Spec{}, greet.At(""), "me")),
		"an input of a form":  second(perdure.Schedule(ctx, c, "typed", spec, durable.Declare[string, int]("account.pay").At("a"), "much")),
		"a kind of nobody":    second(perdure.Schedule(ctx, c, "nobody", spec, durable.Declare[string, int]("nobody").At("a"), "")),
		"pausing nothing":     c.Schedules().Pause(ctx, "nothing", ""),
		"a backfill to come":  c.Schedules().Backfill(ctx, "new year", perdure.Backfill{From: time.Now(), To: time.Now().Add(time.Hour)}),
		"an update to no one": c.Schedules().Update(ctx, "new year", schedules.Spec{Every: time.Second}),
	} {
		want := durable.ErrInvalid
		switch what {
		case "another spec":
			want = durable.ErrConflict
		case "a kind of nobody", "pausing nothing":
			want = durable.ErrNotFound
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}

	if err := c.Schedules().Pause(ctx, "new year", "freeze"); err != nil {
		t.Fatal(err)
	}
	if err := c.Schedules().Trigger(ctx, "new year", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the triggered run is over", func() bool {
		info, err = c.Schedules().Get(ctx, "new year")
		return err == nil && info.Counts.Completed == 1
	})
	if !info.Paused || info.Reason != "freeze" || len(info.Next) != 0 || !strings.HasSuffix(info.Recent[0].Run, "Z-t1") {
		t.Errorf("got %+v", info)
	}
	got, err := c.Get(ctx, info.Recent[0].Run)
	if err != nil || string(got.Result) != `"Hello, you!"` || got.Parent != info.Run {
		t.Errorf("the triggered run: %+v, %v", got, err)
	}
	spec.Cron, spec.Target = []string{"@monthly"}, info.Spec.Target
	if err := c.Schedules().Update(ctx, "new year", spec); err != nil {
		t.Fatal(err)
	}
	if err := c.Schedules().Unpause(ctx, "new year"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the schedule is listed", func() bool {
		list, err := c.Schedules().List(ctx, perdure.ListSchedules{})
		return err == nil && len(list.Schedules) == 1 && !list.Schedules[0].Paused && slices.Equal(list.Schedules[0].Spec.Cron, spec.Cron) && len(list.Schedules[0].Next) == 5
	})
	if err := c.Schedules().Delete(ctx, "new year"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Schedules().Get(ctx, "new year"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if info, err = c.Schedules().Create(ctx, "new year", spec); err != nil || !strings.HasPrefix(info.Run, "schedule/new%20year/new%20year-") {
		t.Errorf("created after it was deleted: %+v, %v", info, err)
	}
	if list := answered[struct{ Kinds []struct{ Kind string } }](t, plain(t, node), "kinds.list", ""); len(list.Kinds) != 2 {
		t.Errorf("kinds: %+v, want those of the user only", list)
	}
}

func second[A, B any](_ A, b B) B { return b }

// TestScheduleOfAnyNATSClient is created by a task, or by the API; in the pool of
// its target.
func TestScheduleOfAnyNATSClient(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(greetKind()))
	running(t, node.URL(), perdure.Host(accountKind()), perdure.Pool("money"))
	nc := plain(t, node)
	send(t, nc, "perdure.task.local.schedule.tick", `{"every":"1s","target":{"kind":"greet","input":"{time}"}}`)
	eventually(t, "it has fired twice", func() bool {
		info, _ := api[perdure.ScheduleInfo](t, nc, "schedules.get", `{"name":"tick"}`)
		return info.Counts.Completed >= 2
	})
	info := answered[perdure.ScheduleInfo](t, nc, "schedules.get", `{"name":"tick"}`)
	for i, f := range info.Recent {
		if late := f.Started.Sub(f.Time); late < 0 || late > time.Second {
			t.Errorf("%s started %s late", f.Run, late)
		}
		if i > 0 && info.Recent[i-1].Time.Sub(f.Time) != time.Second {
			t.Errorf("%s follows %s", info.Recent[i-1].Time, f.Time)
		}
	}
	run := answered[perdure.RunInfo](t, nc, "runs.get", `{"run":"`+info.Recent[0].Run+`"}`)
	if want := fmt.Sprintf(`"Hello, %s!"`, info.Recent[0].Time.Format(time.RFC3339)); string(run.Result) != want {
		t.Errorf("got %s, want %s", run.Result, want)
	}
	send(t, nc, "perdure.task.local.schedule.tick", `{"do":"pause","reason":"by hand"}`, "Perdure-Signal", "command", "Perdure-Run", "tick")
	eventually(t, "it is paused", func() bool {
		info, _ := api[perdure.ScheduleInfo](t, nc, "schedules.get", `{"name":"tick"}`)
		return info.Paused && info.Reason == "by hand"
	})

	send(t, nc, "perdure.task.web.schedule.evil", `{"every":"1s","target":{"kind":"greet","input":"{time}"}}`)
	if run := reaches(t, nc, "schedule/evil/web:evil", "failed"); run.Error.Code != "denied" {
		t.Errorf("a schedule of another trust domain: %+v", run.Error)
	}

	made := answered[perdure.ScheduleInfo](t, nc, "schedules.create", `{"name":"wages","spec":{"cron":"0 9 L * *","target":{"kind":"account","method":"pay","key":"ann","input":{"cents":5}}}}`)
	if made.Run != "schedule-money/wages/wages" {
		t.Errorf("got %+v, want it in the pool of its target", made)
	}
	triggered := answered[perdure.ScheduleInfo](t, nc, "schedules.trigger", `{"name":"wages"}`)
	if triggered.Counts.Manual != 1 {
		t.Errorf("got %+v", triggered)
	}
	for request, want := range map[string]string{
		`{"name":"wages","spec":{"cron":"0 9 L * *","target":{"kind":"greet"}}}`: "conflict",
		`{"name":"x","spec":{"crno":"0 9 L * *","target":{"kind":"greet"}}}`:     "invalid",
		`{"name":"x","spec":{"cron":"0 9 * *","target":{"kind":"greet"}}}`:       "invalid",
		`{"name":"","spec":{"cron":"@daily","target":{"kind":"greet"}}}`:         "invalid",
		`{"name":"x","spec":{"cron":"@daily","target":{"kind":"gret"}}}`:         "not_found",
	} {
		if _, e := api[perdure.ScheduleInfo](t, nc, "schedules.create", request); e.Code != want {
			t.Errorf("%s: %+v, want %s", request, e, want)
		}
	}
	if _, e := api[perdure.ScheduleInfo](t, nc, "schedules.pause", `{"name":"wages","overlap":"skip"}`); e.Code != "invalid" {
		t.Errorf("a field of another command: %+v", e)
	}
}

func TestKindsOfUsersDoNotHideThoseOfNodes(t *testing.T) {
	_, err := perdure.Open(testContext(t), perdure.Dir(t.TempDir()), perdure.Host(durable.Workflow(durable.DeclareWorkflow[string, string]("schedule"), func(durable.Context, string) (string, error) { return "", nil })))
	if err == nil || !strings.Contains(err.Error(), "every node hosts a kind of this name") {
		t.Errorf("got %v", err)
	}
}

// TestScheduleWhoseRunIsPaused says so, and what to do, instead of being waited for.
func TestScheduleWhoseRunIsPaused(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(greetKind()), perdure.SuspendAfter(10*time.Millisecond))
	ctx, c := testContext(t), node.Client()
	info, err := perdure.Schedule(ctx, c, "weekly", schedules.Spec{Cron: []string{"@weekly"}}, greet.At(""), "you")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(ctx, info.Run, perdure.Why{Reason: "the audit", By: "ann"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its run is paused", func() bool {
		got, err := c.Get(ctx, info.Run)
		return err == nil && got.Status == "paused"
	})
	err = c.Schedules().Trigger(ctx, "weekly", "")
	if !errors.Is(err, durable.ErrConflict) || !strings.Contains(err.Error(), "by ann: the audit") || !strings.Contains(err.Error(), "perdure resume "+info.Run) {
		t.Errorf("it is triggered: %v, want who paused it, and how it goes on", err)
	}
	if err := c.Resume(ctx, info.Run, perdure.Why{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is triggered", func() bool { return c.Schedules().Trigger(ctx, "weekly", "") == nil })
	eventually(t, "one run was started", func() bool {
		got, err := c.Schedules().Get(ctx, "weekly")
		return err == nil && got.Counts.Manual >= 1
	})
}
