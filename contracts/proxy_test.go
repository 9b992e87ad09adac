package contracts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// A request is what a proxy passes on, by names.
type request struct {
	Service, Key string
	Message      json.RawMessage
	ID           string        // of the message; "" is derived
	Delay        time.Duration // before it is sent
}

func (r request) target() (durable.Target[json.RawMessage, json.RawMessage], []durable.CallOption) {
	var opts []durable.CallOption
	if r.ID != "" {
		opts = append(opts, durable.MessageID(r.ID))
	}
	return durable.Declare[json.RawMessage, json.RawMessage](r.Service).At(r.Key), opts
}

// One of many is a request and how it is made.
type oneOfMany struct {
	Request request
	OneWay  bool
	AtEnd   bool // its result is awaited when all have been made
}

var (
	proxyCall = durable.Declare[request, json.RawMessage]("proxy.call")
	proxySend = durable.Declare[request, string]("proxy.send")
	proxyMany = durable.Declare[[]oneOfMany, durable.None]("proxy.many")
)

func proxyKind() *durable.Kind {
	return actors.New(actors.Handlers[durable.None]{
		actors.On(proxyCall, func(ctx durable.Context, _ *durable.None, r request) (json.RawMessage, error) {
			to, opts := r.target()
			return durable.Call(ctx, to, r.Message, opts...)
		}),
		actors.On(proxySend, func(ctx durable.Context, _ *durable.None, r request) (string, error) {
			if r.Delay > 0 {
				if err := durable.Sleep(ctx, r.Delay); err != nil {
					return "", err
				}
			}
			to, opts := r.target()
			run, err := durable.Send(ctx, to, r.Message, opts...)
			return run.String(), err
		}),
		actors.On(proxyMany, func(ctx durable.Context, _ *durable.None, all []oneOfMany) (durable.None, error) {
			var later []*durable.Future[json.RawMessage]
			for _, one := range all {
				to, opts := one.Request.target()
				var err error
				switch {
				case one.OneWay:
					_, err = durable.Send(ctx, to, one.Request.Message, opts...)
				case one.AtEnd:
					var child *durable.Child[json.RawMessage]
					if child, err = durable.CallAsync(ctx, to, one.Request.Message, opts...); err == nil {
						later = append(later, child.Future)
					}
				default:
					_, err = durable.Call(ctx, to, one.Request.Message, opts...)
				}
				if err != nil {
					return durable.None{}, err
				}
			}
			_, err := durable.All(ctx, later...)
			return durable.None{}, err
		}),
	})
}

// proxied: a call by names returns the other's result; sends arrive once each.
func proxied(t *testing.T, w *world) {
	upper := request{Service: utilsUpper.String(), Key: key(t), Message: json.RawMessage(`"ping"`)}
	if got := call(t, w.c, proxyCall.At(key(t)), upper); string(got) != `"PING"` {
		t.Errorf("got %s, want PING", got)
	}
	for range 3 {
		call(t, w.c, proxySend.At(key(t)), request{Service: counterAdd.String(), Key: key(t), Message: json.RawMessage("1")})
	}
	counts(t, w, 3)
}

// counts waits until the test's counter has a value, and sees that it stays.
func counts(t *testing.T, w *world, want int) {
	t.Helper()
	eventually(t, fmt.Sprint("the counter is ", want), func() bool { return ask(t, w.c, counterGet.At(key(t)), durable.None{}) >= want })
	if got := call(t, w.c, counterAdd.At(key(t)), 0); got.Old != want {
		t.Errorf("the counter is %d, want %d", got.Old, want)
	}
}

// proxiedOnce: the same ID from several runs is one run, of which all get the
// result, and so does who attaches to it.
func proxiedOnce(t *testing.T, w *world) {
	r := request{Service: counterAdd.String(), Key: key(t), Message: json.RawMessage("1"), ID: "same"}
	for range 2 {
		call(t, w.c, proxySend.At(key(t)), r)
	}
	for i := range 3 {
		if got := call(t, w.c, proxyCall.At(key(t)+fmt.Sprint(i)), r); string(got) != `{"Old":0,"New":1}` {
			t.Errorf("call %d returns %s, want the result of the one run", i, got)
		}
	}
	counts(t, w, 1)
	run, err := perdure.Attach(w.c, counterAdd, "counter/"+encoded(t)+"/same")
	if err != nil {
		t.Fatal(err)
	}
	if got := result(t, run); got != (change{0, 1}) {
		t.Errorf("attached to, the run has %+v", got)
	}
}

// delayed: sends that are delayed arrive after the delay, and delay nobody: they
// wait before they are in the queue of their key.
func delayed(t *testing.T, w *world) {
	const delay, sends = 300 * time.Millisecond, 10
	began := time.Now()
	for i := range sends {
		start(t, w.c, proxySend.At(key(t)+fmt.Sprint(i)), request{Service: counterAdd.String(), Key: key(t), Message: json.RawMessage("1"), Delay: delay})
	}
	counts(t, w, sends)
	if took := time.Since(began); took < delay {
		t.Errorf("all had arrived after %s, the delay is %s", took, delay)
	}
}

// ordered: calls and sends of one run to one key arrive in the order in which they
// were made, whichever are awaited.
func ordered(oneWay ...bool) func(t *testing.T, w *world) {
	return func(t *testing.T, w *world) {
		var many []oneOfMany
		var want []string
		for i, one := range oneWay {
			want = append(want, fmt.Sprint(i))
			r := request{Service: listAppend.String(), Key: key(t), Message: json.RawMessage(fmt.Sprintf("%q", want[i]))}
			many = append(many, oneOfMany{Request: r, OneWay: one, AtEnd: !one})
		}
		call(t, w.c, proxyMany.At(key(t)), many)
		if diff := cmp.Diff(want, call(t, w.c, listClear.At(key(t)), durable.None{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

var limited = durable.DeclareWorkflow[string, int]("limited")

// atOnce are the runs of a group whose steps are executed, and the most there were.
var atOnce = struct {
	mu        sync.Mutex
	now, most map[string]int
}{now: map[string]int{}, most: map[string]int{}}

// limitedKind executes two runs at once, of each group.
func limitedKind() *durable.Kind {
	enter := func(group string, n int) {
		atOnce.mu.Lock()
		defer atOnce.mu.Unlock()
		atOnce.now[group] += n
		atOnce.most[group] = max(atOnce.most[group], atOnce.now[group])
	}
	return durable.Workflow(limited, func(ctx durable.Context, group string) (int, error) {
		return durable.Step(ctx, "work", func(ctx context.Context) (int, error) {
			enter(group, 1)
			defer enter(group, -1)
			select {
			case <-time.After(20 * time.Millisecond):
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
	}, durable.Concurrency(2, durable.LimitBy(func(group string) string { return group })))
}

// staysWithin: of many runs of one limit no more are executed at once than it
// says, and all are.
func staysWithin(t *testing.T, w *world) {
	const runs = 8
	var started []*perdure.Run[int]
	for i := range runs {
		started = append(started, start(t, w.c, limited.At(fmt.Sprint(key(t), i)), key(t)))
	}
	for _, run := range started {
		result(t, run)
	}
	atOnce.mu.Lock()
	defer atOnce.mu.Unlock()
	if most := atOnce.most[key(t)]; most > 2 || most < 1 {
		t.Errorf("%d runs were executed at once, want at most 2", most)
	}
}
