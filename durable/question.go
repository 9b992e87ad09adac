package durable

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// An AskOption configures a question to people, of [AskApproval] or [AskQuestion]:
// [AskTo], [EscalateTo], [BoundTo], [AnswerSchema], [Choices] and [Timeout].
type AskOption interface{ applyAsk(*askConfig) }

// askConfig is what options make of a question.
type askConfig struct {
	asked       schemas.Asked
	escalations []escalation
	timeout     time.Duration
	err         error
}

type escalation struct {
	after time.Duration
	to    []string
}

type askOption func(*askConfig)

func (o askOption) applyAsk(c *askConfig) { o(c) }

func (o TimeoutOption) applyAsk(c *askConfig) { c.timeout = o.d }

// AskTo says which groups, or people, a question is for; without it, it is for
// everybody. It is shown to them and filtered by (Inbox of a client); who may answer
// is up to the permissions of NATS.
func AskTo(groups ...string) AskOption {
	return askOption(func(c *askConfig) {
		c.check(groups)
		c.asked.To = append(c.asked.To, groups...)
	})
}

// EscalateTo says whom a question is for as well, if nobody has answered it within
// after it was asked. It costs the run nothing: whoever lists questions then sees it.
func EscalateTo(after time.Duration, groups ...string) AskOption {
	return askOption(func(c *askConfig) {
		c.check(groups)
		if after <= 0 || len(groups) == 0 {
			c.bad("EscalateTo(%s, %q): say after which time, and to whom", after, groups)
		}
		c.escalations = append(c.escalations, escalation{after, groups})
	})
}

// BoundTo binds the answer to a hash of what it is about, which is shown with the
// question: a decision that names another one is refused. tool is the tool whose call
// it is about, for lists; it may be empty.
func BoundTo(tool, hash string) AskOption {
	return askOption(func(c *askConfig) { c.asked.Tool, c.asked.Hash = tool, hash })
}

// AnswerSchema is the JSON Schema that the answer to a question must fit: one that
// does not is refused when it is sent, and the question stands.
func AnswerSchema(schema json.RawMessage) AskOption {
	return askOption(func(c *askConfig) {
		if !json.Valid(schema) {
			c.bad("the schema of an answer, %.80q, is not JSON", schema)
		}
		c.asked.Schema = schema
	})
}

// Choices makes the answer to a question one of these texts.
func Choices(texts ...string) AskOption {
	schema, _ := json.Marshal(map[string]any{"type": "string", "enum": texts}) // texts always encode
	return AnswerSchema(schema)
}

// maxGroup is how long the name of a group may be, in bytes.
const maxGroup = 128

func (c *askConfig) check(groups []string) {
	for _, g := range groups {
		if g == "" || len(g) > maxGroup || strings.ContainsFunc(g, func(r rune) bool { return r <= ' ' || r == ',' }) {
			c.bad("the group %.140q: use 1 to %d bytes without blanks and commas", g, maxGroup)
		}
	}
}

func (c *askConfig) bad(format string, args ...any) {
	if c.err == nil {
		c.err = Fail(ErrInvalid.Code, format, args...)
	}
}

func askOptions(opts []AskOption) *askConfig {
	c := &askConfig{}
	for _, o := range opts {
		o.applyAsk(c)
	}
	return c
}

// CheckAsk returns what is wrong with options of questions, for packages that take them
// before there is a run.
func CheckAsk(opts ...AskOption) error { return askOptions(opts).err }

// limit returns a context in which the wait for an answer is bounded.
func (c *askConfig) limit(ctx Context) (Context, func()) {
	if c.timeout > 0 {
		return WithTimeout(ctx, c.timeout)
	}
	return ctx, func() {}
}

// An Answer is what somebody answered to [AskQuestion].
type Answer[A any] struct {
	Value A      `json:"answer"`
	By    string `json:"by,omitempty"` // who, as the sender says
}

// AskQuestion asks people something and waits for the answer, an A: the question is
// shown as that of [AskApproval] is, and answered by Answer of a client, perdure
// answer, or runs.answer of any NATS client. What does not fit [AnswerSchema] or
// [Choices] is refused, and the question stands; an answer that came and is no A is
// [ErrInvalid]. The rest is as of AskApproval.
//
//	a, err := durable.AskQuestion[string](ctx, "size", "Which size?", durable.Choices("S", "M", "L"))
func AskQuestion[A, Q any](ctx Context, name string, question Q, opts ...AskOption) (Answer[A], error) {
	cfg := askOptions(opts)
	limited, cancel := cfg.limit(ctx)
	defer cancel()
	f, err := AskQuestionAsync[A](limited, name, question, opts...)
	if err != nil {
		return Answer[A]{}, err
	}
	a, err := f.Result(limited)
	if errors.Is(err, ErrTimeout) && ctx.Err() == nil {
		err = Fail(ErrTimeout.Code, "nobody answered %q within %s", name, cfg.timeout)
	}
	return a, err
}

// AskQuestionAsync is [AskQuestion] as a future, for [Select], as [AskApprovalAsync]
// is that of AskApproval.
func AskQuestionAsync[A, Q any](ctx Context, name string, question Q, opts ...AskOption) (*Future[Answer[A]], error) {
	return askAsync[Answer[A]](ctx, &schemas.Asked{Name: name, Kind: runtime.QuestionKind}, question, askOptions(opts), "the answer to")
}

// askAsync asks q, which has a name and a kind.
func askAsync[T, Q any](ctx Context, q *schemas.Asked, question Q, cfg *askConfig, what string) (*Future[T], error) {
	name := q.GetName()
	if cfg.err != nil {
		return nil, Fail(ErrInvalid.Code, "question %q: %v", name, cfg.err)
	}
	p, err := Encode(question)
	if err != nil {
		return nil, Fail(ErrInvalid.Code, "question %q cannot be recorded: %v", name, err)
	}
	q.Question, q.To, q.Hash, q.Tool, q.Schema = p, cfg.asked.GetTo(), cfg.asked.GetHash(), cfg.asked.GetTool(), cfg.asked.GetSchema()
	now := Now(ctx)
	if cfg.timeout > 0 {
		q.Due = now.Add(cfg.timeout).UnixNano()
	}
	for _, e := range cfg.escalations {
		q.Escalations = append(q.Escalations, &schemas.Escalation{At: now.Add(e.after).UnixNano(), To: e.to})
	}
	return &Future[T]{ctx.engine().Ask(q), func(f *runtime.Future) (T, error) {
		var zero T
		p, err := f.Outcome()
		if err != nil {
			return zero, err
		}
		v, err := Decode[T](p)
		if err != nil { // whoever sent it is gone: the run is told
			return zero, Fail(ErrInvalid.Code, "%s %q: %v", what, name, err)
		}
		return v, nil
	}}, nil
}
