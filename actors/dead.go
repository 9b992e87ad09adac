package actors

import (
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// An Outlook is what comes of a dead letter that is sent again, as far as it can be
// said before.
type Outlook struct {
	Run  string // the run it is for; empty if that cannot be said
	Text string // for people
	Bad  bool   // it would come back at once, or cannot be sent
}

// LookAhead says what comes of a dead letter that is sent again, with input in place
// of its own unless that is nil. kinds are those of this node, as it has them.
func LookAhead(ctx context.Context, b *broker.Broker, kinds map[schemas.Kind]*runtime.Kind, letter broker.DeadLetter, input []byte) (o Outlook, err error) {
	d, err := b.Inbox().Again(letter, input)
	if errors.Is(err, broker.ErrNotSendable) {
		return Outlook{Text: err.Error(), Bad: true}, nil
	} else if err != nil {
		return o, err
	}
	if d.Bad != nil {
		return Outlook{Text: "it would come back: " + d.Bad.Error(), Bad: true}, nil
	}
	if hosted, err := b.Inbox().Hosted(ctx, d.To.Kind); err != nil || !hosted {
		return Outlook{Text: fmt.Sprintf("no node has ever hosted the kind %q: start one that does", string(d.To.Kind)), Bad: true}, err
	}
	if kind := kinds[d.To.Kind]; kind != nil {
		if err := identify(d, kind.OncePerKey); err != nil {
			return Outlook{Text: "it would come back: " + err.Error(), Bad: true}, nil
		}
	}
	env := d.Envelope
	if env.GetType() != schemas.Envelope_TASK {
		return lookAtRun(ctx, b, d.To.Run(schemas.RunID(env.GetRun())), env)
	}
	ref := d.To.Run(schemas.RunID(env.GetId()))
	o.Run = ref.String()
	hash, known, err := Known(ctx, b, ref)
	if err != nil {
		return o, err
	}
	if !known {
		o.Text = "it starts " + o.Run
		return o, nil
	}
	if err := Fill(ctx, b, env); err != nil {
		o.Text, o.Bad = "its payload is lost: "+err.Error(), true
		return o, nil
	}
	if !runtime.SameTask(env, hash) {
		o.Text, o.Bad = fmt.Sprintf("it would come back: %s was started before with another input; give it that one, or start a run of another ID", o.Run), true
		return o, nil
	}
	f, err := Find(ctx, b, ref)
	if err != nil {
		return o, err
	}
	o.Text = fmt.Sprintf("%s is %s already: nothing runs again", o.Run, StatusName(f.Status))
	return o, nil
}

// lookAtRun says what comes of a message for a run that is there, or is not.
func lookAtRun(ctx context.Context, b *broker.Broker, ref schemas.Ref, env *schemas.Envelope) (Outlook, error) {
	o := Outlook{Run: ref.String()}
	f, err := Find(ctx, b, ref)
	switch {
	case errors.Is(err, runtime.ErrNotFound) && env.GetType() == schemas.Envelope_SIGNAL:
		o.Text = fmt.Sprintf("it waits for %s to begin, for the retention time, and comes back then", ref)
	case errors.Is(err, runtime.ErrNotFound) && env.GetType() == schemas.Envelope_ATTACH:
		o.Text = fmt.Sprintf("there is no run %s: who waits for it is told", ref)
	case errors.Is(err, runtime.ErrNotFound):
		o.Text = fmt.Sprintf("there is no run %s: nothing happens", ref)
	case err != nil:
		return o, err
	case IsEnd(f.Status) && env.GetType() == schemas.Envelope_ATTACH:
		o.Text = fmt.Sprintf("%s is %s already: who waits for it is told", ref, StatusName(f.Status))
	case IsEnd(f.Status):
		o.Text = fmt.Sprintf("%s is %s already: it takes no notice", ref, StatusName(f.Status))
	default:
		o.Text = fmt.Sprintf("it goes to %s, which is %s", ref, StatusName(f.Status))
	}
	return o, nil
}

// expireDead removes dead letters that are too old, or too many. The owner of the
// first partition does.
func (u *pump) expireDead(ctx context.Context) error {
	cfg := u.host.cfg
	now, err := cfg.Broker.Now(ctx)
	if err != nil {
		return err
	}
	n, err := cfg.Broker.Inbox().ExpireDead(ctx, now.Add(-cfg.DeadRetention), uint64(cfg.DeadBytes))
	if n > 0 {
		cfg.Log.Warn("dead letters were removed: they were too old, or all together too large", "removed", n, "kept_for", cfg.DeadRetention, "kept_bytes", cfg.DeadBytes)
	}
	return err
}
