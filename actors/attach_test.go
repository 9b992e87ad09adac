package actors_test

import (
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

var (
	slow   = durable.DeclareWorkflow[string, string]("slow")
	finish = durable.DeclareSignal[string]("finish")
	viewer = durable.DeclareWorkflow[string, string]("viewer")
)

// attachKinds are runs that wait for a signal, and runs that wait for those, or for
// reports.
func attachKinds(viewers ...durable.KindOption) []*durable.Kind {
	return []*durable.Kind{
		durable.Workflow(slow, func(ctx durable.Context, in string) (string, error) {
			got, err := durable.Await(ctx, finish)
			return in + " " + got, err
		}),
		durable.Workflow(viewer, func(ctx durable.Context, run string) (string, error) {
			if r, err := schemas.ParseRef(run); err == nil && r.Kind == reports.Kind() {
				written, err := durable.Attach(ctx, reports, run)
				if err != nil {
					return "", err
				}
				return written.Result(ctx)
			}
			s, err := durable.Attach(ctx, slow, run)
			if err != nil {
				return "", err
			}
			return s.Result(ctx)
		}, viewers...),
	}
}

// Whoever attaches to a run that is suspended leaves memory, too, and is told after
// another owner has taken over; to one that waits in the inbox, when it has run.
func TestAttach_AcrossOwners(t *testing.T) {
	t.Parallel()
	s := setup(t, attachKinds()...)
	s.cfg.SuspendAfter = time.Millisecond
	stop := s.start()
	run := ref("slow", "a", "a")
	s.send(run, "", "tea")
	for _, key := range []string{"1", "2"} {
		s.send(ref("viewer", key, key), "", run.String())
		s.untilStatus(ref("viewer", key, key), "suspended")
	}
	s.untilStatus(run, "suspended")
	s.idle(run.Identity) // it has taken the attachments in
	stop()
	s.send(ref("slow", "b", "b"), "", "cake") // while nobody is there
	s.send(ref("viewer", "3", "3"), "", "slow/b/b")
	for _, key := range []string{"a", "b"} {
		p, err := durable.Encode("now")
		if err != nil {
			t.Fatal(err)
		}
		to := ref("slow", key, key)
		s.publish(to.Identity, &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: "go", Run: key, Method: "finish", Payload: p})
	}
	s.start()
	for key, want := range map[string]string{"1": "tea now", "2": "tea now", "3": "cake now"} {
		if got := result[string](s, ref("viewer", key, key)); got != want {
			t.Errorf("viewer %s: %q, want %q", key, got, want)
		}
	}
}

// A run that ended long ago answers from its record, and from the archive; one that
// is nowhere does not keep anybody waiting.
func TestAttach_ToWhatIsOver(t *testing.T) {
	t.Parallel()
	keep := []durable.KindOption{durable.Keep(durable.Completed, time.Hour), durable.Keep(durable.Failed, time.Hour)}
	s := setup(t, append(attachKinds(keep...), reportKind(keep...))...).sweeping(1500 * time.Millisecond)
	s.start()
	id := ref("report", "a", "").Identity
	for _, in := range []string{"fail", "large", "tea"} {
		s.send(id.Run(schemas.RunID(in)), "write", in)
		s.end(id.Run(schemas.RunID(in)))
	}
	ask := func(as string) {
		s.send(ref("viewer", as+"tea", as+"tea"), "", "report/a/tea")
		if got := result[string](s, ref("viewer", as+"tea", as+"tea")); got != "tea" {
			t.Errorf("%s: %q", as, got)
		}
		s.send(ref("viewer", as+"large", as+"large"), "", "report/a/large")
		if got := result[string](s, ref("viewer", as+"large", as+"large")); len(got) != 2<<20 {
			t.Errorf("%s: the large result has %d bytes", as, len(got))
		}
		s.send(ref("viewer", as+"fail", as+"fail"), "", "report/a/fail")
		s.fails(ref("viewer", as+"fail", as+"fail"), "no")
	}
	ask("recorded")
	for _, in := range []string{"fail", "large", "tea"} {
		r := id.Run(schemas.RunID(in))
		s.until(r.String()+" is in the archive alone", func() bool { return !s.has(r) && s.archived(r) })
	}
	ask("archived")
	s.send(ref("viewer", "none", "none"), "", "report/a/none")
	s.fails(ref("viewer", "none", "none"), durable.ErrNotFound.Code)
	s.send(ref("viewer", "nobody", "nobody"), "", "report/nobody/none")
	s.fails(ref("viewer", "nobody", "nobody"), durable.ErrNotFound.Code)
	s.send(ref("viewer", "kind", "kind"), "", "slow/nobody/nobody")
	s.fails(ref("viewer", "kind", "kind"), durable.ErrNotFound.Code)
}
