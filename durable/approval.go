package durable

import (
	"errors"

	"github.com/perdure/perdure/runtime"
)

// A Decision is what somebody answered to [AskApproval].
type Decision struct {
	Approved bool   `json:"approved"`
	By       string `json:"by,omitempty"` // who, as the sender says
	Reason   string `json:"reason,omitempty"`
}

// AskApproval asks people for a decision and waits for it: the question is shown
// with the run by Get and perdure show, and is answered by Approve of a client,
// perdure approve, or runs.approve of any NATS client. The first answer counts. A run that waits is not in memory. With [Timeout] the error
// is [ErrTimeout] once that has passed, and the question is withdrawn.
//
//	d, err := durable.AskApproval(ctx, "refund", Refund{Order: o.ID, Cents: 5000}, durable.Timeout(48*time.Hour))
//	if err != nil {
//		return err
//	} else if !d.Approved {
//		return durable.Fail("refused", "%s: %s", d.By, d.Reason)
//	}
//
// Wrong: to take By for proof of who it was. It says who the sender says it is;
// who may send is up to the permissions of NATS.
func AskApproval[Q any](ctx Context, name string, question Q, opts ...AwaitOption) (Decision, error) {
	cfg, limited, cancel := awaitConfig(ctx, opts)
	defer cancel()
	f, err := AskApprovalAsync(limited, name, question)
	if err != nil {
		return Decision{}, err
	}
	d, err := f.Result(limited)
	if errors.Is(err, ErrTimeout) && ctx.Err() == nil {
		err = Fail(ErrTimeout.Code, "nobody decided about %q within %s", name, cfg.timeout)
	}
	return d, err
}

// AskApprovalAsync is [AskApproval] as a future, for [Select]. The error is
// [ErrInvalid] for a question that cannot be recorded.
func AskApprovalAsync[Q any](ctx Context, name string, question Q) (*Future[Decision], error) {
	p, err := Encode(question)
	if err != nil {
		return nil, Fail(ErrInvalid.Code, "question %q cannot be recorded: %v", name, err)
	}
	return &Future[Decision]{ctx.engine().Ask(name, p), func(f *runtime.Future) (Decision, error) {
		p, err := f.Outcome()
		if err != nil {
			return Decision{}, err
		}
		d, err := Decode[Decision](p)
		if err != nil {
			err = Fail(ErrInvalid.Code, "the decision about %q: %v", name, err)
		}
		return d, err
	}}, nil
}
