package perdure

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Fork says where a fork begins; see [Client.Fork].
type Fork struct {
	// Step is the number of the first step, timer, call or send that the fork does
	// itself, as [Client.Get] lists them: everything that was recorded before its
	// result is copied. Empty: everything that was recorded at all.
	Step string `json:"step,omitempty"`
	// Key is the fork's, of the same kind; empty: that of the run.
	Key string `json:"key,omitempty"`
	// ID is the fork's message ID; empty: the run's with ~1, ~2 and so on behind it.
	ID string `json:"id,omitempty"`
	// Build is the build of the kind's code (durable.Build) that the fork is a run of;
	// empty: the newest.
	Build string `json:"build,omitempty"`
	// Input replaces the run's, as JSON. Where what is copied depends on it, the fork
	// fails as [durable.ErrNondeterministic].
	Input json.RawMessage `json:"input,omitempty"`
	// Results are, by number, what steps and calls before Step, and Step itself, came
	// to in the place of what was recorded, as JSON.
	Results map[string]json.RawMessage `json:"results,omitempty"`
}

// Fork starts a run that begins with a copy of what another one has recorded, and
// goes on from a step by itself, with the code that is deployed now. What is copied
// is not done again; what comes after has message IDs and idempotency keys of its
// own. A call that was made and not answered is answered to the fork as well. An
// actor's fork begins from the state that its identity has now. A fork waits for
// its turn in its key, and for permits of the limits of its kind, like any run, with
// the priority that the run had; only a debounce ([durable.Debounce]) does not hold it
// up.
//
// A run can be forked while it is open, and after it failed or was cancelled; one
// that completed if its kind has [durable.KeepHistory]; of one that continued as new,
// its current generation, with the signals that it has not taken. The error matches
// [durable.ErrNotFound] for a run, a step or a build that is not there,
// [durable.ErrConflict] for a run whose journal is not kept and for an ID that was
// used before with another input, and [durable.ErrInvalid] for what cannot be.
//
// Wrong: forking a run that is open to have two of it: both do what follows.
func (c *Client) Fork(ctx context.Context, run string, f Fork) (*Run[json.RawMessage], error) {
	return c.forked(ctx, "runs.fork", forkRequest{run, f})
}

// Retry starts a run that tries again what made another one fail: a fork from the
// step whose failure ended it, from what came before it was cancelled, or, where
// neither is so, with all that it has recorded, e.g. for code that was mended. The
// run that failed stays as it is: who waited for it was told. The errors are those
// of [Client.Fork]; [durable.ErrConflict] is also a run that has not failed, and
// one that did something after its failure, e.g. undid what came before: then
// choose a step yourself.
func (c *Client) Retry(ctx context.Context, run string) (*Run[json.RawMessage], error) {
	return c.forked(ctx, "runs.retry", retryRequest{Run: run})
}

func (c *Client) forked(ctx context.Context, endpoint string, in any) (*Run[json.RawMessage], error) {
	var answer forkAnswer
	if err := c.do(ctx, endpoint, in, &answer); err != nil {
		return nil, err
	}
	ref, err := schemas.ParseRef(answer.Run)
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", endpoint, err)
	}
	return &Run[json.RawMessage]{c: c, ref: ref}, nil
}

type forkRequest struct {
	Run string `json:"run"`
	Fork
}

type forkAnswer struct {
	Run  string `json:"run"`
	Step string `json:"step,omitempty"` // the first that is done anew
	Left string `json:"left,omitempty"` // why it was left as it is: it was retried before
}

func (a *api) fork(ctx context.Context, in forkRequest) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	entries, err := actors.Entries(ctx, a.node.b, ref)
	if err != nil {
		return nil, err
	}
	f := &schemas.Fork{Run: ref.String(), Step: in.Step}
	for _, path := range slices.Sorted(maps.Keys(in.Results)) {
		data, err := broker.CompactJSON(in.Results[path])
		if err != nil {
			return nil, durable.Fail(durable.ErrInvalid.Code, "result of step %s: %v", path, err)
		}
		f.Results = append(f.Results, &schemas.ForkResult{Path: path, Result: &schemas.Payload{Data: data}})
	}
	return a.startFork(ctx, ref, entries, f, in.Fork)
}

// A retryRequest names a run; a dry run only says whether it would be retried, and a
// run that was retried before may be left as it is.
type retryRequest struct {
	Run           string `json:"run"`
	DryRun        bool   `json:"dry_run,omitempty"`
	UnlessRetried bool   `json:"unless_retried,omitempty"`
}

func (a *api) retry(ctx context.Context, in retryRequest) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	entries, err := actors.Entries(ctx, a.node.b, ref)
	if err != nil {
		return nil, err
	}
	switch rec := entries[len(entries)-1].Entry.GetRecord(); {
	case rec == nil:
		return nil, durable.Fail(durable.ErrConflict.Code, "retry %s: it has not ended; resume it if it is paused", ref)
	case rec.GetStatus() == schemas.Status_COMPLETED:
		return nil, durable.Fail(durable.ErrConflict.Code, "retry %s: it is completed; fork it from a step to do that again", ref)
	}
	if in.UnlessRetried {
		if why, err := a.retried(ctx, ref, entries[len(entries)-1].Entry.GetRecord()); why != "" || err != nil {
			return forkAnswer{Left: why}, err
		}
	}
	f, err := runtime.FailedStep(ref, entries)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		_, err := runtime.ForkTask(ref, entries, f)
		return forkAnswer{Step: f.GetStep()}, err
	}
	return a.startFork(ctx, ref, entries, f, Fork{})
}

// retried says why a run is not to be retried by who retries many: it has a retry that
// is open or completed, or one that failed, which is the one to try again. So it is
// with the others of a run that is a retry itself. Empty: it may be. Who was forked in
// another way, under an ID that was not chosen, counts as retried.
func (a *api) retried(ctx context.Context, ref schemas.Ref, rec *schemas.Record) (string, error) {
	why, err := a.retriedBeside(ctx, ref, ref)
	if origin, perr := schemas.ParseRef(rec.GetFork().GetRun()); why == "" && err == nil && perr == nil && origin.Identity == ref.Identity {
		why, err = a.retriedBeside(ctx, origin, ref)
	}
	return why, err
}

// retriedBeside looks at the retries of a run, as one of them that may be the next to
// be tried again, or as the run itself.
func (a *api) retriedBeside(ctx context.Context, origin, self schemas.Ref) (string, error) {
	all, err := a.forks(ctx, origin)
	if err != nil || len(all) == 0 {
		return "", err
	}
	if origin != self && !slices.Contains(all, self.String()) { // its ID was chosen: it is none of them
		return "", nil
	}
	why, last := "", len(all)-1
	for i, s := range all {
		try, err := schemas.ParseRef(s)
		if err != nil || try == self {
			continue
		}
		_, status, _, err := actors.Look(ctx, a.node.b, try)
		if err != nil {
			return "", err
		}
		if how := fmt.Sprintf("%s was retried as %s, which is %s", origin, try, actors.StatusName(status)); !actors.IsEnd(status) || status == schemas.Status_COMPLETED {
			return how, nil
		} else if i == last {
			why = how + ": retry that"
		}
	}
	return why, nil
}

// startFork checks what can be checked of a fork before it is accepted, and
// publishes its task.
func (a *api) startFork(ctx context.Context, source schemas.Ref, entries []schemas.Stored, f *schemas.Fork, in Fork) (any, error) {
	f.Build = in.Build
	env, err := runtime.ForkTask(source, entries, f)
	if err != nil {
		return nil, err
	}
	if f.Build != "" {
		if err := a.node.host.HasBuild(source.Kind, f.Build); err != nil {
			return nil, fmt.Errorf("fork %s: %w", source, err)
		}
	}
	env.Id = in.ID
	if len(in.Input) > 0 {
		data, err := broker.CompactJSON(in.Input)
		if err != nil {
			return nil, durable.Fail(durable.ErrInvalid.Code, "input of a fork of %s: %v", source, err)
		}
		env.Payload = &schemas.Payload{Data: data}
	}
	id := source.Identity
	if in.Key != "" {
		id.Key = in.Key
	}
	for n := 0; ; {
		if in.ID == "" {
			all, err := a.forks(ctx, id.Run(source.ID))
			if err != nil {
				return nil, err
			}
			n = max(n, len(all)) + 1
			env.Id = string(forkID(source.ID, n))
		}
		ref := id.Run(schemas.RunID(env.Id))
		taken, err := a.accept(ctx, ref, env)
		switch {
		case err != nil:
			return nil, err
		case !taken:
			return forkAnswer{Run: ref.String(), Step: f.GetStep()}, nil
		case in.ID != "" || n > maxForks:
			return nil, durable.Fail(durable.ErrConflict.Code, "fork %s: there is a run %s already; use another ID", source, ref)
		}
	}
}

// accept publishes the task of a fork, unless its reference is taken. Of different
// forks that come at once under one reference the inbox takes the first, which is told
// by what is there then.
func (a *api) accept(ctx context.Context, ref schemas.Ref, env *schemas.Envelope) (taken bool, err error) {
	if err := a.check(ctx, ref.Identity, env); err != nil {
		return false, err
	}
	if err := ref.Validate(); err != nil {
		return false, err
	}
	if _, known, err := actors.Known(ctx, a.node.b, ref); err != nil || known {
		return known, err
	}
	if err := actors.Publish(ctx, a.node.b, schemas.LocalDomain, ref.Identity, env); err != nil {
		return false, err
	}
	hash, known, err := actors.Known(ctx, a.node.b, ref)
	return known && !actors.SameInput(hash, actors.InputHash(env)), err
}

// forkID is the ID of the n-th fork of a run, from 1, where none is chosen.
func forkID(id schemas.RunID, n int) schemas.RunID {
	return schemas.RunID(string(id) + "~" + strconv.Itoa(n))
}

// maxForks bounds how many forks of a run are looked for.
const maxForks = 1000

// forks returns the references of the forks of a run whose IDs were not chosen.
func (a *api) forks(ctx context.Context, ref schemas.Ref) (all []string, err error) {
	for n := 1; n <= maxForks; n++ {
		f := ref.Identity.Run(forkID(ref.ID, n))
		_, known, err := actors.Known(ctx, a.node.b, f)
		if err != nil || !known {
			return all, err
		}
		all = append(all, f.String())
	}
	return all, nil
}
