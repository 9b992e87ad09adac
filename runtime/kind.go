package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A Handler is the code of a run. What it does must follow from its input and
// from what ctx gives it: it is executed again from the start, with recorded
// results, whenever its run moves to another process.
type Handler func(ctx *Context, input *schemas.Payload) (*schemas.Payload, error)

// A QueryFunc answers a question from a copy of an identity's state, which is
// nil where nothing was stored yet. It runs outside any run, in no order with
// respect to them, on whichever node is asked.
type QueryFunc func(ctx context.Context, state, input *schemas.Payload) (*schemas.Payload, error)

// A Method is one way to start a run of a kind.
type Method struct {
	Handler Handler
	// Check validates an input before a run is started for it; nil accepts all.
	Check func(input *schemas.Payload) error
}

// Validate reports what is wrong with an input, a panic of its decoding
// included.
func (m Method) Validate(input *schemas.Payload) (err error) {
	if m.Check == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = panicError(v, debug.Stack())
		}
	}()
	return m.Check(input)
}

// A Kind is code bound to a name: a workflow, a virtual actor or an agent.
type Kind struct {
	Name schemas.Kind
	// Type is what people call it: "workflow", "actor" or "agent".
	Type string
	// Description says what it is for, and Labels sort it; Input is the JSON Schema of
	// its input, nil where it does not say. They are for those who look for a kind.
	Description string
	Labels      []string
	Input       json.RawMessage
	// OncePerKey makes the key the default message ID: one run a key while its
	// record is kept, which is what a workflow wants.
	OncePerKey bool
	// EveryNode marks a kind that every node of a pool hosts of itself: lists of kinds
	// leave it out.
	EveryNode bool
	// Stateful says that its identities keep state between runs.
	Stateful bool
	// Keep is how long records of an outcome are kept to be looked at, where that is
	// not as the node says.
	Keep map[schemas.Status]time.Duration
	// KeepHistory keeps the journals of its runs that complete, too, until their
	// records go.
	KeepHistory bool
	// Live has the listener of its node told what its runs do while they do it.
	Live bool
	// Build names this code of the kind: its runs are continued by the same build
	// only. Empty: whatever is deployed continues them.
	Build string
	// Older are builds of the kind that continue the runs which they have begun.
	Older   []*Kind
	Methods map[string]Method // by method name; "" is the only method of a kind that has one
	Queries map[string]QueryFunc
	// Share is the kind's part of what a node can do while there is too much of it,
	// beside the parts of the other kinds; 0 means 1.
	Share int
	// FairBy names the tenant that an identity belongs to, by its key: tenants share
	// alike what their kind has. nil: the trust domains of the senders do.
	FairBy func(key string) string
	// Limits is what every run of the kind takes before its code runs.
	Limits []Limit
	// Budgets is what every run of the kind, and what it starts, is charged to.
	Budgets []Budget
	// Bounds is how far the trees may grow that its runs begin.
	Bounds Bounds
	// Busy is what becomes of a message for an identity that has an open run,
	// where the message does not say; unset: it waits.
	Busy schemas.Busy
	// Ledger is the code of a kind that comes with the engine, and has neither
	// methods nor runs; nil for all others.
	Ledger Ledger
	// Open opens what the kind needs of the world while a node hosts it, such as sessions
	// with servers, and returns what closes it; nil: it needs nothing. It is called when
	// a node is opened, before the node takes work. What it opened outlives ctx. What is
	// opened twice, for two nodes in one process, is closed once both have closed it.
	Open func(ctx context.Context) (closes func() error, err error)
	// Configure takes in settings that are changed while nodes run, as JSON; nil: the kind
	// has none. The error says what is wrong with them for this code; apply puts them in
	// force, unless those of a higher number are. Empty settings are those of the code.
	Configure func(number uint64, settings json.RawMessage) (apply func(), err error)
	// Errs is what is wrong with the definition; it is reported when a node is
	// opened, for every kind at once.
	Errs []error
}

// Validate returns everything that is wrong with k, joined.
func (k *Kind) Validate() error {
	errs := k.Errs
	if err := k.Name.Validate(); err != nil {
		errs = append(errs, err)
	}
	if k.Name.IsLedger() && k.Ledger == nil {
		errs = append(errs, errors.New("names that begin with perdure- are those of built-in kinds; choose another"))
	}
	errs = append(errs, k.limitErrors()...)
	errs = append(errs, k.budgetErrors()...)
	errs = append(errs, k.boundsErrors()...)
	errs = append(errs, k.buildErrors()...)
	if len(k.Methods) == 0 && k.Ledger == nil {
		errs = append(errs, errors.New("it has no method; bind at least one handler"))
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%s %q: %w", k.Type, string(k.Name), errors.Join(errs...))
}

// Method returns the method of this name. An empty name is the kind's only
// method. The error matches [ErrNotFound] and lists what exists.
func (k *Kind) Method(name string) (Method, error) {
	if m, ok := k.Methods[name]; ok {
		return m, nil
	}
	if name == "" && len(k.Methods) == 1 {
		for _, m := range k.Methods {
			return m, nil
		}
	}
	return Method{}, Errorf(ErrNotFound.Code, "%s %q has no method %q; it has %s", k.Type, string(k.Name), name, names(k.Methods))
}

// Query returns the query of this name. The error matches [ErrNotFound].
func (k *Kind) Query(name string) (QueryFunc, error) {
	if q, ok := k.Queries[name]; ok {
		return q, nil
	}
	return nil, Errorf(ErrNotFound.Code, "%s %q has no query %q; it has %s", k.Type, string(k.Name), name, names(k.Queries))
}

// names lists the keys of m for a message.
func names[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	var quoted []string
	for _, n := range slices.Sorted(maps.Keys(m)) {
		quoted = append(quoted, strconv.Quote(n))
	}
	return strings.Join(quoted, ", ")
}
