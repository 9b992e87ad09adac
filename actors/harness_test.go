package actors_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// patience bounds every wait.
const patience = 30 * time.Second

// A bench is a namespace on an embedded server, and hosts on it.
type bench struct {
	t     *testing.T
	ctx   context.Context
	kinds []*runtime.Kind
	b     *broker.Broker
	cfg   actors.Config
	log   *logBuffer
	host  *actors.Host // the last one that was started

	mu     sync.Mutex
	points []broker.FaultPoint
	fault  func(broker.FaultPoint) // beside recording; set before the host starts
}

// setup opens a namespace of four partitions for kinds.
func setup(t *testing.T, kinds ...*runtime.Kind) *bench {
	t.Helper()
	return setupWith(t, func(*broker.Config) {}, kinds...)
}

// capped is the setting of a test that is about payloads over the cap.
func capped(c *broker.Config) { c.PayloadCap = 1 << 20 }

// setupWith is [setup] with other settings of the broker.
func setupWith(t *testing.T, change func(*broker.Config), kinds ...*runtime.Kind) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	s := &bench{t: t, ctx: ctx, kinds: kinds, log: &logBuffer{}}
	s.b = brokertest.Open(t, s.config, change)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the host said:\n%s", s.log)
		}
	})
	s.cfg = actors.Config{Broker: s.b, Node: "node", Log: slog.New(slog.NewTextHandler(s.log, nil)), Grace: 5 * time.Second, AuditEvery: -1} // nothing rests on the auditor
	return s
}

// config is the namespace's.
func (s *bench) config(c *broker.Config) {
	for _, k := range s.kinds {
		c.Kinds = append(c.Kinds, k.Name)
	}
	c.Partitions, c.DuplicateWindow = 4, duplicateWindow
	c.Fault = s.at
}

func (s *bench) at(p broker.FaultPoint) {
	s.mu.Lock()
	s.points = append(s.points, p)
	f := s.fault
	s.mu.Unlock()
	if f != nil {
		f(p)
	}
}

// visited returns the fault points so far.
func (s *bench) visited() []broker.FaultPoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]broker.FaultPoint(nil), s.points...)
}

// start runs a host that takes work when start returns; stop makes it leave in
// good order, and may be called again.
func (s *bench) start() (stop func()) {
	s.t.Helper()
	cfg := s.cfg
	cfg.Kinds = s.kinds
	h, err := actors.NewHost(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := h.Join(s.ctx); err != nil {
		s.t.Fatal(err)
	}
	s.host = h
	ctx, leave := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		leave()
		if err := <-ended; err != nil {
			s.t.Errorf("the host ended with %v", err)
		}
	})
	s.t.Cleanup(stop)
	select {
	case <-h.Ready():
	case <-s.ctx.Done():
		s.t.Fatal("the host takes no work")
	}
	return stop
}

func ref(kind, key, id string) schemas.Ref {
	return schemas.Identity{Kind: schemas.Kind(kind), Key: key}.Run(schemas.RunID(id))
}

// send publishes a task.
func (s *bench) send(r schemas.Ref, method string, input any) {
	s.t.Helper()
	p, err := durable.Encode(input)
	if err != nil {
		s.t.Fatal(err)
	}
	s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(r.ID), Method: method, Payload: p})
}

func (s *bench) publish(to schemas.Identity, env *schemas.Envelope) {
	s.t.Helper()
	if err := actors.Publish(s.ctx, s.b, "local", to, env); err != nil {
		s.t.Fatal(err)
	}
}

// foreign publishes as a client without this library.
func (s *bench) foreign(to schemas.Identity, headers map[string]string, body string) {
	s.t.Helper()
	if err := brokertest.Foreign(s.ctx, s.b, to, headers, body); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for a run's end.
func (s *bench) end(r schemas.Ref) actors.Done {
	s.t.Helper()
	var d actors.Done
	s.until("the end of "+r.String(), func() (ok bool) {
		var err error
		if d, ok, err = actors.Ended(s.ctx, s.b, r); !ok && err == nil && s.cfg.Retention > 0 {
			d, ok, err = actors.EndedLongAgo(s.ctx, s.b, r) // it may be swept before it is looked at
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return ok
	})
	return d
}

// result waits for a run's end and returns its result.
func result[Out any](s *bench, r schemas.Ref) (out Out) {
	s.t.Helper()
	d := s.end(r)
	if d.Error != nil {
		s.t.Fatalf("%s: %s: %s", r, d.Error.Code, d.Error.Message)
	}
	if err := json.Unmarshal(d.Result, &out); err != nil {
		s.t.Fatalf("%s: %v in %s", r, err, d.Result)
	}
	return out
}

// fails waits for a run's end and holds its error's code.
func (s *bench) fails(r schemas.Ref, code string) *actors.DoneError {
	s.t.Helper()
	d := s.end(r)
	if d.Error == nil || d.Error.Code != code {
		s.t.Fatalf("%s ended with %s %s %+v, want the error %q", r, d.Status, d.Result, d.Error, code)
	}
	return d.Error
}

// status returns what is known of a run.
func (s *bench) status(r schemas.Ref) string {
	s.t.Helper()
	_, status, _, err := actors.Look(s.ctx, s.b, r)
	if err != nil {
		return runtime.AsError(err).Code
	}
	return actors.StatusName(status)
}

func (s *bench) untilStatus(r schemas.Ref, status string) {
	s.t.Helper()
	s.until(r.String()+" is "+status, func() bool { return s.status(r) == status })
}

// state returns what an identity has stored, once its runs have ended: a run's
// state is written after its record.
func state[S any](s *bench, id schemas.Identity) (v S) {
	s.t.Helper()
	s.idle(id)
	stored, _, err := s.b.State().Get(s.ctx, id)
	if err == nil {
		err = actors.Fill(s.ctx, s.b, stored)
	}
	if err == nil && len(stored.GetValue().GetData()) > 0 {
		err = json.Unmarshal(stored.GetValue().GetData(), &v)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// waiting returns an identity's messages that are not acknowledged.
func (s *bench) waiting(id schemas.Identity) []broker.Delivery {
	s.t.Helper()
	ds, err := s.b.Inbox().Pending(s.ctx, id, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return ds
}

// idle waits until an identity has no message that is not acknowledged.
func (s *bench) idle(id schemas.Identity) {
	s.t.Helper()
	s.until("every message of "+id.String()+" is acknowledged", func() bool { return len(s.waiting(id)) == 0 && len(s.fired(id)) == 0 })
}

func (s *bench) timers(id schemas.Identity) []string {
	s.t.Helper()
	timers, err := s.b.Schedules().Pending(s.ctx, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return timers
}

// fired returns the wake-ups of an identity that are not acknowledged.
func (s *bench) fired(id schemas.Identity) []string {
	s.t.Helper()
	fired, err := s.b.Schedules().Fired(s.ctx, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return fired
}

// window waits until JetStream has forgotten the message IDs so far, of which
// nothing tells.
func (s *bench) window() {
	pause := time.NewTimer(2 * duplicateWindow)
	<-pause.C
}

const duplicateWindow = 100 * time.Millisecond

// until waits for a condition of the store, which has no event.
func (s *bench) until(what string, ok func() bool) {
	s.t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			s.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// A logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
