package agents

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Bounded is a model whose answers have a bound, which a [Budget] reserves for each.
type Bounded interface {
	Model
	// MaxOutputTokens is how many tokens an answer has at most, reasoning included; 0:
	// it has no bound.
	MaxOutputTokens() int64
}

// What an estimate takes for what it cannot know, in tokens.
const (
	unboundedOutput = 4096 // an answer of a model that is not [Bounded]
	fileTokens      = 5000 // an image, or a document that is not sent along
	messageTokens   = 8    // what a message is wrapped in
	bytesPerToken   = 3    // of text: most languages have more
)

// uncharged is the failure of a call for which the provider charges nothing.
type uncharged struct{ err error }

func (e *uncharged) Error() string { return e.err.Error() }
func (e *uncharged) Unwrap() error { return e.err }

// Unanswered returns the error of a model call to which the provider answered with an
// HTTP status: it charges nothing for what it refuses, and a [Budget] counts nothing.
// A status that leaves open whether the model was at work, such as 504, changes nothing:
// the call counts as much as it was estimated to cost at most, like one that broke off.
func Unanswered(err error, status int) error {
	if status < 400 || status == http.StatusRequestTimeout || status == http.StatusGatewayTimeout {
		return err
	}
	return &uncharged{err}
}

// lostDetails marks, in the details of a recorded failure, a call that the provider may have
// charged for.
const lostDetails = "the provider may have charged for the call: it counts as estimated"

// unused is the failure of what comes behind a call that was answered.
type unused struct{ err error }

func (e *unused) Error() string { return e.err.Error() }
func (e *unused) Unwrap() error { return e.err }

// unusedDetails marks such a failure: the call is paid for, and not made again.
const unusedDetails = "; it was answered, and hooks behind it failed"

// isUnused reports whether a failure is one of what comes behind a call that was answered.
func isUnused(err error) bool { return strings.HasSuffix(runtime.AsError(err).Details, unusedDetails) }

// nextDetails says behind them which model is asked next, by its place in the chain.
const nextDetails = "; the next to be asked is model %d"

// marked returns the failure of a call as it is recorded under a budget; next is the
// place in the chain of the model that is asked in place of the one that failed, 0 for
// none. One that may have been charged for is not tried again by the step's policy:
// another attempt needs a reservation of its own.
func marked(err error, next int) error {
	var free *uncharged
	e := runtime.AsError(err)
	switch {
	case errors.As(err, &free) && e.Code == durable.ErrTimeout.Code: // not the model's
		return &uncharged{&durable.Error{Code: ErrModelUnavailable.Code, Message: e.Error(), Details: e.Details, Final: e.Final}}
	case free != nil, e.Code == ErrModel.Code:
		return err
	}
	if behind := (*unused)(nil); errors.As(err, &behind) {
		return &durable.Error{Code: e.Code, Message: e.Error(), Details: lostDetails + unusedDetails, Final: e.Final}
	}
	details := lostDetails
	if next > 0 {
		details += fmt.Sprintf(nextDetails, next+1)
	}
	return &durable.Error{Code: e.Code, Message: e.Error(), Details: details, Final: true}
}

// nextAfter returns the place in the chain of the model that is asked after a recorded
// failure, 0 for the first one again.
func nextAfter(err error) int {
	var n int
	if _, rest, ok := strings.Cut(runtime.AsError(err).Details, lostDetails); ok {
		if _, err := fmt.Sscanf(rest, nextDetails, &n); err == nil && n > 1 {
			return n - 1
		}
	}
	return 0
}

// mayBeCharged reports whether the recorded failure of a call is one that the provider may
// have charged for.
func mayBeCharged(err error) bool {
	e := runtime.AsError(err)
	switch e.Code {
	case durable.ErrUnknownOutcome.Code, durable.ErrTimeout.Code, durable.ErrCancelled.Code, durable.ErrPanic.Code:
		return true
	}
	return strings.Contains(e.Details, lostDetails)
}

// free reports whether the provider charges nothing for a call that failed so.
func free(err error) bool {
	var f *uncharged
	return errors.As(err, &f) || runtime.AsError(err).Code == ErrModel.Code
}

// A bill is what a model call came to beside the usage that was counted.
type bill struct {
	asked  string // the name of the model that answered
	none   bool   // the provider has not counted the answer, or not with numbers that can be
	unsaid int    // other requests that may have been charged for, and do not say for what
}

// lost takes in a request that was made beside the one that answered, and returns what it
// says that it has cost.
func (b *bill) lost(f finish) Usage {
	switch {
	case f.r != nil && f.err == nil && f.r.Usage.counts():
		return f.r.Usage
	case f.err == nil || !free(f.err):
		b.unsaid++
	}
	return Usage{}
}

// maxTokens is more than a provider counts for one answer.
const maxTokens = 1 << 40

// counts reports whether a provider has counted anything, and numbers that can be.
func (u Usage) counts() bool {
	for _, n := range []int64{u.InputTokens, u.OutputTokens, u.CachedTokens, u.ReasoningTokens} {
		if n < 0 || n > maxTokens {
			return false
		}
	}
	return u.InputTokens+u.OutputTokens > 0
}

// estimate returns how many tokens the next call reads, and writes, at most. What the
// provider has counted before is known; what was said since is estimated by its size.
func (v *conversation) estimate(m Model) (input, output int64) {
	p := v.purse
	if input = p.measured; p.covered == 0 {
		input = tokensOf(len(v.instructions))
		for _, t := range v.served.after(v.specs) {
			input += tokensOf(len(t.Name)+len(t.Description)+len(t.Parameters)) + messageTokens
		}
		if v.answer.spec != nil {
			input += tokensOf(len(v.answer.spec.Schema))
		}
	}
	for _, msg := range v.messages[p.covered:] {
		input += messageTokensOf(msg)
	}
	output = unboundedOutput
	if b, ok := m.(Bounded); ok && b.MaxOutputTokens() > 0 {
		output = b.MaxOutputTokens()
	}
	return input, output
}

func messageTokensOf(m Message) int64 {
	n := tokensOf(len(m.Content)) + messageTokens
	for _, c := range m.ToolCalls {
		n += tokensOf(len(c.ID)+len(c.Name)+len(c.Arguments)) + messageTokens
	}
	if m.Reasoning != nil {
		n += tokensOf(len(m.Reasoning.Data))
	}
	for _, f := range m.Files {
		n += fileTokens
		if !strings.HasPrefix(f.MediaType, "image/") {
			n += tokensOf(len(f.Data))
		}
	}
	return n
}

func tokensOf(bytes int) int64 { return int64((bytes + bytesPerToken - 1) / bytesPerToken) }

// nanos returns the cost of tokens in billionths of a dollar, rounded up.
func (p Price) nanos(input, cached, output int64) int64 {
	cost := (float64(max(input-cached, 0))*p.Input + float64(cached)*p.cached() + float64(output)*p.Output) * 1000
	return int64(math.Ceil(cost - 1e-6)) // what floating point adds is no billionth
}

// costOf returns what a call came to, by the price of the model that answered, as far as
// that has one: as the provider names it, or as asked, the name of the agent's model.
func (a *agent) costOf(asked string, r *Response) *schemas.Amount {
	u := r.Usage
	amount := &schemas.Amount{Tokens: u.InputTokens + u.OutputTokens}
	price, ok := a.prices.of(r.Model)
	if !ok {
		price, ok = a.prices.of(asked)
	}
	if ok {
		amount.Nanos = price.nanos(u.InputTokens, min(u.CachedTokens, u.InputTokens), u.OutputTokens)
	}
	return amount
}

// cost returns what a recorded call came to. Of a request beside it that does not say what it
// has cost, it was no more than the same input, and the longest answer.
func (v *conversation) cost(t *modelCall) *schemas.Amount {
	asked := cmp.Or(t.Asked, v.asked().Name())
	amount := v.costOf(asked, &t.Response)
	if t.Unsaid == 0 {
		return amount
	}
	other := Response{Model: t.Model, Usage: Usage{InputTokens: t.Usage.InputTokens}}
	for _, m := range v.candidates() {
		if m.Name() == asked {
			_, other.Usage.OutputTokens = v.estimate(m.Model)
		}
	}
	if other.Usage.OutputTokens == 0 { // a deploy has taken the model away
		other.Usage.OutputTokens = unboundedOutput
	}
	more := v.costOf(asked, &other)
	amount.Tokens += int64(t.Unsaid) * more.GetTokens()
	amount.Nanos += int64(t.Unsaid) * more.GetNanos()
	return amount
}
