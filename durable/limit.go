package durable

import (
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A LimitOption configures a limit of a kind: [LimitBy], [LimitName], [Tenant],
// [Burst], [Longest], [Attached].
type LimitOption func(*runtime.Limit)

// Concurrency lets at most n runs of the kind go on at once, in the whole cluster:
// from when a run's code begins to when it has ended, whether it works, waits or
// sleeps. The others wait in the order in which they came, and leave memory. With
// [LimitBy] there are n for each key, with [Tenant] the permits go round the
// tenants, and a message's priority orders those that wait; with [LimitName]
// several kinds share one limit.
//
//	durable.Workflow(Fulfil, fulfil, durable.Concurrency(3), durable.Concurrency(1, durable.LimitName("region"), durable.LimitBy(region)))
//
// A run has its permit until its record is stored: a node that dies takes none
// along, and a run that stands still, e.g. as nondeterministic, keeps its own until
// it is cancelled or goes on. A later deployment with another n holds from the next
// run that is started: a smaller one waits until enough have ended.
//
// Wrong: a run that has a permit calls another run of the same limit and waits for
// it. If all permits are held by runs that wait for the one that asks, it fails
// with [ErrDeadlock]; two that wait for each other in other ways are not seen.
func Concurrency(n int, opts ...LimitOption) KindOption {
	return limit(runtime.Limit{Rule: schemas.Hold_CONCURRENCY, Max: n}, opts)
}

// Rate lets n runs of the kind begin in each span of time, evenly: one every per/n,
// in the order in which they came. With [Burst] more may begin at once after a
// quiet time. A run that waits for its turn is a run that sleeps: it leaves memory.
// A rate counts when runs begin, not when they end, and no priority moves them:
// bound those with [Concurrency]. A run that missed its time by more than per/n, and
// by more than half a second, because no node was there, asks for another, behind
// those that have one: as many as fit into the longer of the two may begin at once
// after an outage, and the order is lost.
//
//	durable.Workflow(Mail, mail, durable.Rate(100, time.Minute, durable.Burst(10)))
func Rate(n int, per time.Duration, opts ...LimitOption) KindOption {
	l := runtime.Limit{Rule: schemas.Hold_RATE, Burst: 1}
	if n > 0 {
		l.Interval = per / time.Duration(n)
	}
	return limit(l, opts)
}

// Singleton lets one run of the workflow go on at a time, or one for each key of
// [LimitBy]. One that is started meanwhile is not executed: it fails with
// [ErrBusy], or, with [Attached], waits for the run that goes on and ends with its
// result or failure.
//
//	durable.Workflow(Report, report, durable.Singleton(durable.LimitBy(customer), durable.Attached()))
//
// Wrong: a singleton without LimitBy for what is one run a key already; the
// workflow's key does that.
func Singleton(opts ...LimitOption) KindOption {
	return limit(runtime.Limit{Rule: schemas.Hold_SINGLETON}, opts)
}

// Debounce makes one run of a burst of them: a run waits until no other has been
// started for the quiet time, and then goes on. Those that were followed by another
// are not executed: each ends with [ErrSuperseded], and its record names a later
// one. With [LimitBy] each key has bursts of its own. With [Longest] a burst that
// does not end lets a run go after that time.
//
//	durable.Workflow(Index, index, durable.Debounce(10*time.Second, durable.LimitBy(document), durable.Longest(time.Minute)))
//
// A run that is cancelled in its quiet time goes nowhere: those before it have
// ended for it, and the burst may be without a run.
func Debounce(quiet time.Duration, opts ...LimitOption) KindOption {
	return limit(runtime.Limit{Rule: schemas.Hold_DEBOUNCE, Interval: quiet}, opts)
}

func limit(l runtime.Limit, opts []LimitOption) KindOption {
	for _, o := range opts {
		o(&l)
	}
	return func(k *runtime.Kind) { k.Limits = append(k.Limits, l) }
}

// LimitBy gives each key a limit of its own: key says which one a run takes, of
// its input. It is called once for a run, when that is started, and must follow
// from the input alone. A panic, or a key of more than about 200 bytes, fails the
// run with [ErrInvalid]. In must be the input of every method of the kind.
func LimitBy[In any](key func(in In) string) LimitOption {
	return func(l *runtime.Limit) { l.By = ofInput(key) }
}

// Tenant says of a run's input whose it is: free permits go to the tenant that
// holds the fewest, and among those to the one that was served longest ago. It is
// called as the function of [LimitBy] is.
func Tenant[In any](tenant func(in In) string) LimitOption {
	return func(l *runtime.Limit) { l.Tenant = ofInput(tenant) }
}

// LimitName names a limit; the default is the kind's name. Kinds of one pool of
// nodes that name the same limit share it, and a kind that has two limits of the
// same rule names one of them.
func LimitName(name string) LimitOption {
	return func(l *runtime.Limit) { l.Name = name }
}

// Burst is how many runs of a [Rate] may begin at once after a quiet time; the
// default is 1.
func Burst(n int) LimitOption {
	return func(l *runtime.Limit) { l.Burst = n }
}

// Longest is how long a [Debounce] holds the first run of a burst at most. The
// default is for as long as others come.
func Longest(d time.Duration) LimitOption {
	return func(l *runtime.Limit) { l.Longest = d }
}

// Attached makes a run of a [Singleton] that finds another one take its result.
func Attached() LimitOption {
	return func(l *runtime.Limit) { l.Attach = true }
}

func ofInput[In any](f func(In) string) func(*schemas.Payload) (string, error) {
	if f == nil {
		return func(*schemas.Payload) (string, error) { return "", Fail(ErrInvalid.Code, "the function is nil") }
	}
	return func(p *schemas.Payload) (string, error) {
		in, err := Decode[In](p)
		if err != nil {
			return "", err
		}
		return f(in), nil
	}
}
