package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A Limit bounds when runs of a kind begin. Every run, a fork too, takes it before its code
// runs; the limit itself is an identity of a built-in kind, which every run that
// takes it asks, wherever it is executed.
type Limit struct {
	Rule schemas.Hold_Rule
	// Name is the limit's own, by default the kind's: kinds that name the same
	// limit share it.
	Name string
	// Max is how many runs hold it at once: of a concurrency.
	Max int
	// Interval is the time between two runs of a rate; the quiet time of a
	// debounce.
	Interval time.Duration
	// Burst is how many runs of a rate may go at once after a quiet time.
	Burst int
	// Longest is how long the first of a debounced burst waits at most; 0: for
	// as long as others come.
	Longest time.Duration
	// Attach makes a run that finds a singleton taken wait for the result of the
	// run that has it, and end with that.
	Attach bool
	// By makes, of the input, which one of the limit a run takes; nil: there is
	// one. Tenant makes of it whose run it is: permits go round the tenants.
	By, Tenant func(input *schemas.Payload) (string, error)
}

// LimitKind names the kind of the limits of a pool of nodes: a kind belongs to
// one pool, so each has its own. The pool called default needs no name.
func LimitKind(pool string) schemas.Kind {
	if pool == "" || pool == "default" {
		return "perdure-limit"
	}
	return schemas.Kind("perdure-limit-" + pool)
}

// limits is the kind of this process's pool.
func (c *Config) limits() schemas.Kind { return cmp.Or(c.Limits, LimitKind("")) }

// Validate returns what is wrong with the limit.
func (l Limit) validate() error {
	switch {
	case l.Rule == schemas.Hold_CONCURRENCY && l.Max < 1:
		return fmt.Errorf("a concurrency of %d: at least 1 run must be able to go on", l.Max)
	case l.Rule == schemas.Hold_RATE && (l.Interval <= 0 || l.Burst < 1):
		return fmt.Errorf("a rate with %s between two runs and a burst of %d: both must be more than 0", l.Interval, l.Burst)
	case l.Rule == schemas.Hold_DEBOUNCE && l.Interval <= 0:
		return fmt.Errorf("a debounce of %s: the quiet time must be more than 0", l.Interval)
	case l.Rule == schemas.Hold_TREE:
		return errors.New("a tree is no limit of a kind's runs; give the kind Bounds")
	case l.Rule == schemas.Hold_RULE_UNSPECIFIED:
		return errors.New("a limit without a rule")
	}
	return nil
}

// limitErrors returns what is wrong with the limits of a kind.
func (k *Kind) limitErrors() (errs []error) {
	names := map[string]bool{}
	for _, l := range k.Limits {
		if err := l.validate(); err != nil {
			errs = append(errs, err)
		}
		name := cmp.Or(l.Name, string(k.Name)) + ruleSuffix(l.Rule)
		if names[name] {
			errs = append(errs, fmt.Errorf("two limits %q of one rule; name one of them", name))
		}
		names[name] = true
		if !k.OncePerKey && (l.Rule == schemas.Hold_DEBOUNCE || l.Rule == schemas.Hold_SINGLETON) {
			errs = append(errs, fmt.Errorf("a %s of a kind that is no workflow: its runs of one key come one after another, so that none would meet another; use it for a workflow", strings.ToLower(l.Rule.String())))
		}
	}
	return errs
}

// TakesLimits reports whether runs of the kind need the kind of the limits of its pool.
func (k *Kind) TakesLimits() bool { return len(k.Limits) > 0 || k.Bounds.Runs > 0 }

// ruleOrder is the order in which a run takes its limits: the same for all runs,
// so that no two wait for each other; what holds nothing for long comes first,
// and the rate last, so that its runs begin when it says.
var ruleOrder = []schemas.Hold_Rule{schemas.Hold_DEBOUNCE, schemas.Hold_SINGLETON, schemas.Hold_CONCURRENCY, schemas.Hold_RATE}

// holds returns what a run of an input takes, in order: of each rule the one by
// key first, so that nobody holds the common one while waiting for its own. What
// the user's functions cannot say is the failure of the run.
func (k *Kind) holds(limits schemas.Kind, env *schemas.Envelope, now int64) []*schemas.Hold {
	ordered := slices.Clone(k.Limits)
	slices.SortStableFunc(ordered, func(a, b Limit) int {
		keyed := func(l Limit) int {
			if l.By != nil {
				return 0
			}
			return 1
		}
		return cmp.Or(
			cmp.Compare(slices.Index(ruleOrder, a.Rule), slices.Index(ruleOrder, b.Rule)),
			cmp.Compare(keyed(a), keyed(b)), cmp.Compare(a.Name, b.Name))
	})
	holds := make([]*schemas.Hold, 0, len(ordered))
	for _, l := range ordered {
		h := &schemas.Hold{
			Rule: l.Rule, Max: uint32(l.Max), Interval: int64(l.Interval), Burst: uint32(l.Burst), Longest: int64(l.Longest),
			Priority: env.GetPriority(), Attach: l.Attach, Declared: now,
		}
		id := schemas.Identity{Kind: limits, Key: cmp.Or(l.Name, string(k.Name)) + ruleSuffix(l.Rule)}
		var err error
		if l.By != nil {
			var by string
			by, err = textOf(l.By, env.GetPayload())
			id.Key += ":" + by
		}
		if err == nil && l.Tenant != nil {
			h.Tenant, err = textOf(l.Tenant, env.GetPayload())
			h.Tenant = recordable(h.Tenant, maxName)
		}
		if err == nil {
			err = id.Validate()
		}
		if err != nil {
			h.Error = EncodeError(Errorf(ErrInvalid.Code, "the limit %s of kind %q cannot be told from the input: %v", cmp.Or(l.Name, string(k.Name)), string(k.Name), err))
			return append(holds, h)
		}
		h.Limit = id.String()
		holds = append(holds, h)
	}
	return holds
}

// ruleSuffix keeps limits of different rules and the same name apart.
func ruleSuffix(r schemas.Hold_Rule) string {
	if r == schemas.Hold_CONCURRENCY {
		return ""
	}
	return "-" + strings.ToLower(r.String())
}

// textOf asks a user's function, whose panic is an error.
func textOf(f func(*schemas.Payload) (string, error), input *schemas.Payload) (s string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicError(v, debug.Stack())
		}
	}()
	return f(input)
}
