package broker_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// read stores a message and returns it as the inbox delivers it.
func (r *raw) read(subject, body string, headers ...string) broker.Delivery {
	r.t.Helper()
	seq := r.stored(subject, body, headers...)
	d, ok, err := r.b.Inbox().Read(r.ctx, seq)
	must(r.t, err)
	if !ok || d.Seq != seq {
		r.t.Fatalf("message %d is read as %+v, %v", seq, d, ok)
	}
	return d
}

func jsonTask(id, method, input string) *schemas.Envelope {
	return &schemas.Envelope{Type: schemas.Envelope_TASK, Id: id, Method: method, Payload: &schemas.Payload{Data: []byte(input), Codec: "json"}}
}

func TestDelivery_ForeignPublishersNeedNoLibrary(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("weather", "Zürich 8001")
	at := func(from string) string { return r.n.TaskSubject(from, id) }
	made := strconv.FormatInt(r.b.Created().UnixNano(), 36) + "-"
	traced := jsonTask("t", "", `1`)
	traced.Trace = map[string]string{"traceparent": "00-a-b-01", "tracestate": "x=y"}
	for name, tt := range map[string]struct {
		from, body string
		headers    []string
		want       *schemas.Envelope // nil: its ID is made
		noID       bool
	}{
		"ID":                {"local", `"coat?"`, []string{"Perdure-Id", "order-17"}, jsonTask("order-17", "", `"coat?"`), false},
		"message ID":        {"local", `{"a":1}`, []string{"Nats-Msg-Id", "m1"}, jsonTask("m1", "", `{"a":1}`), false},
		"ID before message": {"local", `1`, []string{"Perdure-Id", "p", "Nats-Msg-Id", "m2"}, jsonTask("p", "", `1`), false},
		"method":            {"local", `1`, []string{"Perdure-Id", "m", "Perdure-Method", "ask"}, jsonTask("m", "ask", `1`), false},
		"no body":           {"local", ``, []string{"Perdure-Id", "n"}, jsonTask("n", "", `null`), false},
		"another domain":    {"acme", `1`, []string{"Perdure-Id", "order-17"}, jsonTask("acme:order-17", "", `1`), false},
		"trace":             {"local", `1`, []string{"Perdure-Id", "t", "traceparent", "00-a-b-01", "tracestate", "x=y"}, traced, false},
		"no ID":             {"local", `1`, nil, nil, true},
		"signal": {"local", `true`, []string{"Perdure-Signal", "approved", "Perdure-Run", "order-17", "Perdure-Id", "s1"}, &schemas.Envelope{
			Type: schemas.Envelope_SIGNAL, Id: "s1", Method: "approved", Run: "order-17", Payload: &schemas.Payload{Data: []byte(`true`), Codec: "json"},
		}, false},
	} {
		d := r.read(at(tt.from), tt.body, tt.headers...)
		if d.Bad != nil {
			t.Errorf("%s: bad: %v", name, d.Bad)
			continue
		}
		want := tt.want
		if want == nil {
			want = jsonTask(made+strconv.FormatUint(d.Seq, 10), "", tt.body)
		}
		if diff := cmp.Diff(want, d.Envelope, protocmp.Transform()); diff != "" {
			t.Errorf("%s: envelope (-want +got):\n%s", name, diff)
		}
		if d.To != id || d.From != tt.from || d.Partition != r.n.Partition(id) || d.NoID != tt.noID || d.Published.IsZero() || string(d.Data) != tt.body {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestDelivery_WhatCannotBeReadIsBad(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	at := r.n.TaskSubject("local", identity("wf", "k"))
	ns := r.n.Namespace()
	envelope := func(e *schemas.Envelope) string {
		data, err := proto.Marshal(e)
		must(t, err)
		return string(data)
	}
	long := strings.Repeat("x", schemas.MaxToken)
	for says, tt := range map[string]struct {
		subject, body string
		headers       []string
	}{
		"is not JSON":         {at, `{"a":`, nil},
		"upper-case":          {ns + ".task.local.wf.a%zz", `1`, nil},
		"canonical form":      {ns + ".task.local.wf.%41", `1`, nil},
		"sender's domain":     {ns + ".task.lo/cal.wf.k", `1`, nil},
		"names no run":        {at, `1`, []string{"Perdure-Signal", "approved"}},
		"it is not UTF-8":     {at, "\"caf\xe9\"", nil},
		"send one message":    {at, `1`, []string{"Perdure-Signal", "approved", "Perdure-Update", "set", "Perdure-Run", "1"}},
		"signal's value":      {at, `x`, []string{"Perdure-Signal", "approved", "Perdure-Run", "1"}},
		"version \"2\"":       {at, ``, []string{"Perdure-Envelope", "2"}},
		"is not an envelope":  {at, "\xff", []string{"Perdure-Envelope", "1"}},
		"type TYPE_UNSPEC":    {at, envelope(&schemas.Envelope{Id: "1"}), []string{"Perdure-Envelope", "1"}},
		"type 99":             {at, envelope(&schemas.Envelope{Type: 99, Id: "1"}), []string{"Perdure-Envelope", "1"}},
		"value of the signal": {at, envelope(&schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: "1", Run: "1", Method: "go", Payload: &schemas.Payload{Blob: &schemas.Blob{Name: "x", Size: 1 << 40}}}), []string{"Perdure-Envelope", "1"}},
		"method \"mmm":        {at, envelope(&schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1", Method: strings.Repeat("m", 257)}), []string{"Perdure-Envelope", "1"}},
		"is not UTF-8":        {at, `1`, []string{"Perdure-Method", "m\xff"}},
		"invalid UTF-8":       {at, strings.ReplaceAll(envelope(&schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1", Trace: map[string]string{"traceparent": "!!!"}}), "!!!", "!\xff!"), []string{"Perdure-Envelope", "1"}},
		"has no ID":           {at, envelope(&schemas.Envelope{Type: schemas.Envelope_TASK}), []string{"Perdure-Envelope", "1"}},
		"the limit is 256":    {r.n.TaskSubject("acme", identity("wf", "k")), `1`, []string{"Perdure-Id", long}},
	} {
		d := r.read(tt.subject, tt.body, tt.headers...)
		if d.Bad == nil || d.Envelope != nil {
			t.Errorf("%q on %s is %v; want it bad, with an error that says %q", tt.body, tt.subject, d.Envelope, says)
			continue
		}
		mentions(t, d.Bad, says)
		if d.Subject == "" || string(d.Data) != tt.body {
			t.Errorf("the bad message is %+v; want it as it is stored", d)
		}
	}
}

// What is no trace context is left out, whoever says it: it would be in the run's
// journal, and in every message that the run sends.
func TestDelivery_TraceIsBounded(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	at := r.n.TaskSubject("local", identity("wf", "k"))
	long := strings.Repeat("x", 8<<10+1)
	want := map[string]string{"traceparent": "00-a-b-01", "baggage": long[1:]}
	sent := map[string]string{"traceparent": "00-a-b-01", "tracestate": long, "baggage": long[1:], "other": "x"}
	data, err := proto.Marshal(&schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1", Trace: sent})
	must(t, err)
	for what, d := range map[string]broker.Delivery{
		"an envelope": r.read(at, string(data), "Perdure-Envelope", "1"),
		"headers":     r.read(at, `1`, "Perdure-Id", "2", "traceparent", sent["traceparent"], "tracestate", sent["tracestate"], "baggage", sent["baggage"], "other", "x"),
	} {
		if diff := cmp.Diff(want, d.Envelope.GetTrace()); d.Bad != nil || diff != "" {
			t.Errorf("%s: %v, trace (-want +got):\n%s", what, d.Bad, diff)
		}
	}
}

// Another domain sends tasks and signals, and cancels its own runs. What only the
// engine may say is not believed.
func TestDelivery_AnotherDomainIsBelievedOnlyAsAClient(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	type env = schemas.Envelope
	blob := func(name string) *schemas.Payload { return &schemas.Payload{Blob: &schemas.Blob{Name: name}} }
	for name, tt := range map[string]struct {
		env  *env
		says string // "" is allowed
	}{
		"task":                      {&env{Type: schemas.Envelope_TASK}, ""},
		"task, object of its own":   {&env{Type: schemas.Envelope_TASK, Payload: blob("wf/k/acme:1/message-1")}, ""},
		"signal":                    {&env{Type: schemas.Envelope_SIGNAL, Run: "acme:7"}, ""},
		"update":                    {&env{Type: schemas.Envelope_UPDATE, Method: "set", Run: "acme:7"}, ""},
		"update of local's":         {&env{Type: schemas.Envelope_UPDATE, Method: "set", Run: "7"}, "its own"},
		"answer to a question":      {&env{Type: schemas.Envelope_SIGNAL, Method: "answer:3", Run: "acme:7"}, "of answers"},
		"control":                   {&env{Type: schemas.Envelope_CONTROL, Run: "acme:7", Control: &schemas.Control{Action: schemas.Control_TERMINATE}}, "operators"},
		"signal with a control":     {&env{Type: schemas.Envelope_SIGNAL, Run: "acme:7", Control: &schemas.Control{Action: schemas.Control_RESUME}}, "operators"},
		"task that is a fork":       {&env{Type: schemas.Envelope_TASK, Fork: &schemas.Fork{Run: "wf/k/7"}}, "fork"},
		"task that interrupts":      {&env{Type: schemas.Envelope_TASK, Busy: schemas.Busy_BUSY_INTERRUPT}, "cancels"},
		"cancel of its own":         {&env{Type: schemas.Envelope_CANCEL, Run: "acme:7"}, ""},
		"cancel of local's":         {&env{Type: schemas.Envelope_CANCEL, Run: "7"}, "its own"},
		"cancel of another's":       {&env{Type: schemas.Envelope_CANCEL, Run: "acme2:7"}, "its own"},
		"wake":                      {&env{Type: schemas.Envelope_WAKE, Run: "acme:7"}, "a wake"},
		"result":                    {&env{Type: schemas.Envelope_RESULT, Run: "acme:7", Path: "1"}, "a result"},
		"task that answers a run":   {&env{Type: schemas.Envelope_TASK, Reply: &schemas.Reply{Run: "wf/k/7", Path: "1"}}, "without reply"},
		"task with a parent":        {&env{Type: schemas.Envelope_TASK, Parent: "wf/k/7"}, "without reply"},
		"task with a chain":         {&env{Type: schemas.Envelope_TASK, Chain: []string{"wf/k"}}, "without reply"},
		"task with bounds":          {&env{Type: schemas.Envelope_TASK, Bounds: []*schemas.Bound{{Root: "wf/k/1"}}}, "without reply"},
		"task, object of another's": {&env{Type: schemas.Envelope_TASK, Payload: blob("wf/k/7/result")}, "may be one below"},
	} {
		tt.env.Id = "1"
		data, err := proto.Marshal(tt.env)
		must(t, err)
		d := r.read(r.n.TaskSubject("acme", id), string(data), "Perdure-Envelope", "1")
		switch {
		case tt.says == "" && (d.Bad != nil || d.Envelope.GetId() != "acme:1"):
			t.Errorf("%s: %+v, want it allowed", name, d)
		case tt.says != "" && (d.Bad == nil || d.BadCode != "denied"):
			t.Errorf("%s: %+v, want it denied", name, d)
		case tt.says != "":
			mentions(t, d.Bad, tt.says, "acme")
		}
		if d := r.read(r.n.TaskSubject("local", id), string(data), "Perdure-Envelope", "1"); d.Bad != nil {
			t.Errorf("%s of the local domain: %v, want it allowed", name, d.Bad)
		}
	}
}

// What is put among the wake-ups by hand, and no schedule of its identity made,
// is no wake-up.
func TestDelivery_AWakeUpNamesAScheduleOfItsIdentity(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	data, err := proto.Marshal(&schemas.Envelope{Type: schemas.Envelope_WAKE, Id: "x", Run: "1"})
	must(t, err)
	f := r.take(r.n.Partition(id), 1)
	timer := r.n.TimerSubject(identity("wf", "other"), broker.TimerID("1", "1"))
	for what, headers := range map[string][]string{
		"of another identity": {"Perdure-Envelope", "1", "Nats-Scheduler", timer, "Nats-Schedule-Next", "purge"},
		"without a schedule":  {"Perdure-Envelope", "1"},
		"without an envelope": nil,
	} {
		r.stored(r.n.WakeSubject(id), string(data), headers...)
		if d := r.next(f); d.Bad == nil || d.BadCode != "invalid" || d.Timer != "" || d.To != id {
			t.Errorf("a wake-up %s is %+v, want it bad", what, d)
		}
	}
}

func TestInbox_DeadLettersAreStoredOnceWithTheirReason(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	d := r.read(r.n.TaskSubject("local", identity("wf", "k.1")), `{"a":`, "Perdure-Id", "order-17")
	for range 3 {
		must(t, r.b.Inbox().Dead(r.ctx, d, "malformed", d.Bad.Error()))
	}
	s, err := r.js.Stream(r.ctx, r.n.DeadStream())
	must(t, err)
	if n := s.CachedInfo().State.Msgs; n != 1 {
		t.Fatalf("%d dead letters, want 1", n)
	}
	m, err := s.GetLastMsgForSubject(r.ctx, r.n.Namespace()+".dead.wf.k%2E1")
	must(t, err)
	want := nats.Header{
		"Perdure-Id": {"order-17"}, "Perdure-Subject": {d.Subject}, "Perdure-Code": {"malformed"},
		"Perdure-Reason": {d.Bad.Error()}, "Perdure-Sequence": {fmt.Sprint(d.Seq)}, "Nats-Msg-Id": {fmt.Sprint("dead/perdure_INBOX_default/", d.Seq)},
	}
	got := nats.Header{}
	for k := range want {
		got[k] = m.Header.Values(k)
	}
	if diff := cmp.Diff(want, got); diff != "" || string(m.Data) != `{"a":` {
		t.Errorf("the dead letter %q has the headers (-want +got):\n%s", m.Data, diff)
	}
}

func TestInbox_DeadLettersAreListed(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	for _, key := range []string{"a", "b", "a"} {
		d := r.read(r.n.TaskSubject("local", identity("wf", key)), `{`, "Nats-Msg-Id", fmt.Sprint("m", len(r.dead("wf", "", 0, 0))))
		must(t, r.b.Inbox().Dead(r.ctx, d, "malformed", "why"))
	}
	for name, tt := range map[string]struct{ got, want []string }{
		"all":           {r.dead("", "", 0, 0), []string{"m0", "m1", "m2"}},
		"of a key":      {r.dead("wf", "a", 0, 0), []string{"m0", "m2"}},
		"behind one":    {r.dead("wf", "", 1, 0), []string{"m1", "m2"}},
		"at most two":   {r.dead("wf", "", 0, 2), []string{"m0", "m1"}},
		"of another":    {r.dead("stock", "", 0, 0), nil},
		"of a key kind": {r.dead("", "b", 0, 0), []string{"m1"}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for kind, want := range map[schemas.Kind]bool{"wf": true, "nobody": false} {
		if got, err := r.b.Inbox().Hosted(r.ctx, kind); got != want || err != nil {
			t.Errorf("kind %s is hosted: %v, %v; want %v", kind, got, err, want)
		}
	}
}

// dead returns the IDs of dead letters.
func (r *raw) dead(kind schemas.Kind, key string, after uint64, limit int) []string {
	r.t.Helper()
	letters, err := r.b.Inbox().DeadLetters(r.ctx, kind, key, after, limit)
	must(r.t, err)
	var ids []string
	for _, l := range letters {
		if l.Code != "malformed" || l.Reason != "why" || string(l.Data) != `{` || l.Stored.IsZero() {
			r.t.Errorf("dead letter %+v", l)
		}
		ids = append(ids, l.ID)
	}
	return ids
}

// TestInbox_AMessageThatReadsLikeARefusalIsRead, and is not asked for again and
// again as if the server could not answer.
func TestInbox_AMessageThatReadsLikeARefusalIsRead(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	const body = `{"error":{"code":503}}`
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	seq := r.stored(r.n.TaskSubject("local", identity("wf", "k")), body, "Perdure-Id", "1", "Content-Type", "application/json")
	d, ok, err := r.b.Inbox().Read(ctx, seq)
	must(t, err)
	if !ok || string(d.Envelope.GetPayload().GetData()) != body {
		t.Errorf("the message is read as %+v, %v", d, ok)
	}
}
