package durable

import (
	"errors"

	"github.com/perdure/perdure/schemas"
)

// A Decision is what somebody answered to [AskApproval].
type Decision struct {
	Approved bool   `json:"approved"`
	By       string `json:"by,omitempty"` // who, as the sender says
	Reason   string `json:"reason,omitempty"`
	// Hash is that of what the sender has seen ([BoundTo]). A decision that names
	// another hash than the question has is refused, and one that names none is
	// taken for what is asked.
	Hash string `json:"hash,omitempty"`
}

// AskApproval asks people for a decision and waits for it: the question is shown
// with the run by Get and perdure show, and with those of all runs by Inbox and
// perdure inbox; it is answered by Approve of a client, perdure approve, or
// runs.approve of any NATS client. The first answer counts. A run that waits is not in
// memory. With [Timeout] the error is [ErrTimeout] once that has passed, and the
// question is withdrawn.
//
//	d, err := durable.AskApproval(ctx, "refund", Refund{Order: o.ID, Cents: 5000},
//		durable.AskTo("support"), durable.EscalateTo(4*time.Hour, "managers"), durable.Timeout(48*time.Hour))
//	if err != nil {
//		return err
//	} else if !d.Approved {
//		return durable.Fail("refused", "%s: %s", d.By, d.Reason)
//	}
//
// Wrong: to take By for proof of who it was. It says who the sender says it is;
// who may send is up to the permissions of NATS.
func AskApproval[Q any](ctx Context, name string, question Q, opts ...AskOption) (Decision, error) {
	cfg := askOptions(opts)
	limited, cancel := cfg.limit(ctx)
	defer cancel()
	f, err := AskApprovalAsync(limited, name, question, opts...)
	if err != nil {
		return Decision{}, err
	}
	d, err := f.Result(limited)
	if errors.Is(err, ErrTimeout) && ctx.Err() == nil {
		err = Fail(ErrTimeout.Code, "nobody decided about %q within %s", name, cfg.timeout)
	}
	return d, err
}

// AskApprovalAsync is [AskApproval] as a future, for [Select]; a [Timeout] is shown
// with the question, and is kept by whoever waits. The error is [ErrInvalid] for a
// question that cannot be recorded, or an option of a wrong form.
func AskApprovalAsync[Q any](ctx Context, name string, question Q, opts ...AskOption) (*Future[Decision], error) {
	cfg := askOptions(opts)
	if len(cfg.asked.GetSchema()) > 0 {
		return nil, Fail(ErrInvalid.Code, "question %q has a form for its answer, and is a decision: yes or no; use AskQuestion", name)
	}
	return askAsync[Decision](ctx, &schemas.Asked{Name: name}, question, cfg, "the decision about")
}
