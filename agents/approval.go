package agents

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/perdure/perdure/durable"
)

// Always is the predicate of [NeedsApproval] for every call.
func Always(json.RawMessage) bool { return true }

// NeedsApproval makes calls of a tool wait for somebody's decision: those whose
// arguments when says yes to. In is the tool's, or json.RawMessage for the arguments as
// they are; nil is [Always].
//
//	agents.Func("refund", "Give money back", refund,
//		agents.NeedsApproval(func(r Refund) bool { return r.Cents > 5000 },
//			agents.AskTo("support"), agents.EscalateTo(4*time.Hour, "managers"), agents.Within(48*time.Hour, agents.ThenDeny)))
//
// People are shown the tool, its arguments, the agent, its run, and a hash of tool and
// arguments, to which a decision can be bound; they decide as about
// [durable.AskApproval], of which the name of the question is the tool's. A run that
// waits is not in memory, and several calls of one message wait at once and are decided
// in any order. The model is told of a call that was denied: by whom, and why. What
// when says is recorded with the model's answer: a deploy that changes it, or these
// options, changes nothing for calls that were made before.
//
// Wrong: a predicate that asks a database; it is asked while the model's answer is
// recorded, and has no context. Use [Hooks].
func NeedsApproval[In any](when func(In) bool, opts ...AskOption) ToolOption {
	a := &approval{in: reflect.TypeFor[In](), needs: func(arguments json.RawMessage) (bool, error) {
		if when == nil {
			return true, nil
		}
		var in In
		if err := json.Unmarshal(arguments, &in); err != nil {
			return false, err
		}
		return when(in), nil
	}}
	a.asks, a.err = asksOf(opts)
	return toolOption(func(c *toolConfig) { c.approval = a })
}

// approval is what [NeedsApproval] says of a tool.
type approval struct {
	in    reflect.Type
	needs func(arguments json.RawMessage) (bool, error)
	asks  asks
	err   error
}

// approve takes the approval of a tool's options.
func (t *Tool) approve(a *approval, in reflect.Type) {
	if a == nil {
		return
	}
	if t.approval = a; a.err != nil {
		t.bad("NeedsApproval: %v", a.err)
	}
	if raw := reflect.TypeFor[json.RawMessage](); in != nil && a.in != in && a.in != raw {
		t.bad("NeedsApproval has a function of %s, and the tool takes %s; give it one of that, or of json.RawMessage", a.in, in)
	}
}

// With returns the tool with options that it can take afterwards, which is
// [NeedsApproval]: for tools that were made without, as by [Delegate], and for all
// tools of a server ([Served]). For one tool of a server there is an option where the
// server is made, e.g. mcp.Tool.
//
//	agents.Delegate(Fulfil, "Ship an order").With(agents.NeedsApproval(agents.Always))
func (t Tool) With(opts ...ToolOption) Tool {
	var cfg toolConfig
	for _, o := range opts {
		o.applyTool(&cfg)
	}
	if !reflect.DeepEqual(cfg, toolConfig{approval: cfg.approval}) {
		t.bad("With takes NeedsApproval; give the other options where the tool is made")
	}
	if t.server != nil && cfg.approval != nil {
		t.server = approvedServer{t.server, cfg.approval}
		if cfg.approval.err != nil {
			t.bad("NeedsApproval: %v", cfg.approval.err)
		}
		return t
	}
	t.approve(cfg.approval, nil)
	return t
}

// approvedServer is a server all of whose tools need approval.
type approvedServer struct {
	ToolServer
	approval *approval
}

func (s approvedServer) Tool(name string) (Tool, bool) {
	t, ok := s.ToolServer.Tool(name)
	if t.approval == nil { // its own, as a server's option says, comes first
		t.approval = s.approval
	}
	return t, ok
}

// argumentsHash is what a decision about a call is bound to.
func argumentsHash(tool string, arguments json.RawMessage) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", tool)
	h.Write(arguments)
	return hex.EncodeToString(h.Sum(nil))
}

// How many bytes people are shown, as JSON: all of it fits into one question.
const (
	maxShown  = 32 << 10 // of arguments
	maxText   = 16 << 10 // of other texts
	maxReason = 4 << 10
)

// A Proposal is what people are asked to decide about, in JSON.
type Proposal struct {
	Agent string `json:"agent"` // the kind
	Run   string `json:"run"`
	// Tool and Arguments are of a call. Arguments of more than 32 KiB, with what JSON
	// escapes in HTML, are a string of their beginning, and Bytes their size; the hash is
	// of all of them.
	Tool      string          `json:"tool,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Bytes     int             `json:"bytes,omitempty"`
	// Text is what else is to be decided about: a message, an answer, a result.
	Text   string `json:"text,omitempty"`
	Reason string `json:"reason,omitempty"` // why people are asked, as a hook says
}

// shown cuts what people are shown.
func (p *Proposal) shown() {
	if encodedLen(p.Arguments) > maxShown {
		p.Bytes = len(p.Arguments)
		p.Arguments, _ = json.Marshal(beginning(string(p.Arguments), maxShown)) // texts always encode
	}
	if text := beginning(p.Text, maxText); text != p.Text {
		p.Bytes, p.Text = len(p.Text), text
	}
	p.Reason = beginning(p.Reason, maxReason)
}

// beginning returns as much of the beginning of a text as has at most about limit bytes
// as JSON.
func beginning(s string, limit int) string {
	for n := min(len(s), limit); ; n -= n/8 + 1 {
		if cut := head(s, n); cut == "" || encodedLen(cut) <= limit {
			return cut
		}
	}
}

// encodedLen is how many bytes a value has as JSON.
func encodedLen(v any) int {
	data, _ := json.Marshal(v) // texts, and what is JSON, always encode
	return len(data)
}

// ErrNotApproved is a tool call that somebody denied, or that nobody decided about in
// time: the model is told. A run that waited for an approval of its own fails with it.
var ErrNotApproved = &durable.Error{Code: "not_approved", Final: true}

// approved asks people about p, and returns nil if they approve. The error is a
// [runEnd] where that is to end the run, and otherwise why not.
func (v *conversation) approved(ctx durable.Context, name string, a *asks, p Proposal, hash string) error {
	info := ctx.Info()
	p.Agent, p.Run, p.Reason = info.Kind, info.Ref().String(), a.Reason
	p.shown()
	limited, cancel := a.limit(ctx)
	defer cancel()
	f, err := durable.AskApprovalAsync(limited, name, p, a.options(p.Tool, hash)...)
	if err != nil {
		return err
	}
	v.notify(limited, a, Pending{Run: p.Run, Name: name, Ask: "approval", Tool: p.Tool, Hash: hash, To: a.To}, p, f)
	d, err := f.Result(limited)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case durable.IsCode(err, durable.ErrTimeout.Code):
		return a.late(name)
	case err != nil: // it came around the API, which would have refused it
		return durable.Fail(ErrNotApproved.Code, "%s was not approved: %v", name, err)
	case d.Hash != "" && d.Hash != hash:
		return durable.Fail(ErrNotApproved.Code, "%s was not approved: the decision is about something else, of the hash %.80q", name, d.Hash)
	case !d.Approved:
		return durable.Fail(ErrNotApproved.Code, "%s was not approved: %s", name, denial(d))
	}
	return nil
}

// denial says who denied something, and why.
func denial(d durable.Decision) string {
	who := d.By
	if who == "" {
		who = "somebody"
	}
	if d.Reason == "" {
		return who + " denied it"
	}
	return who + " denied it: " + d.Reason
}

// late is what becomes of what nobody decided about.
func (a *asks) late(name string) error {
	says := fmt.Sprintf("nobody decided about %s within %s", name, a.Within)
	switch a.Then {
	case ThenApprove:
		return nil
	case ThenFail:
		return &runEnd{durable.Fail(ErrNotApproved.Code, "%s", says)}
	}
	return durable.Fail(ErrNotApproved.Code, "%s: it counts as denied", says)
}

// A runEnd is an error of a tool call that ends the run.
type runEnd struct{ err error }

func (e *runEnd) Error() string { return e.err.Error() }
func (e *runEnd) Unwrap() error { return e.err }
