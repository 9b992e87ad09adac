package actors_test

import (
	"testing"
	"time"

	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// TestP16_HistoryGoesBeforeItsRecord: what a record keeps stays as long as it, also
// what is older than the retention time, and goes before it. Left without it, it
// would be a run that is open.
func TestP16_HistoryGoesBeforeItsRecord(t *testing.T) {
	t.Parallel()
	s := setup(t, newGates().all()...).sweeping(1500 * time.Millisecond)
	r := ref("account", "a", "1")
	var seq uint64
	add := func(n uint64, e *schemas.Entry) {
		e.Epoch, e.Nonce, e.Counter, e.At = 1, []byte("x"), n, time.Now().UnixNano()
		out, err := s.b.Journal().Append(s.ctx, r, seq, e)
		if err != nil || out.Fenced {
			t.Fatalf("append: %+v, %v", out, err)
		}
		seq = out.Seq
	}
	started := &schemas.Started{Method: "write"}
	add(1, &schemas.Entry{Events: []*schemas.Event{{Kind: &schemas.Event_Started{Started: started}}}})
	add(2, &schemas.Entry{Events: []*schemas.Event{{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{Path: "1"}}}}})
	began := time.Now()
	s.until("the entries are older than the retention time", func() bool { return time.Since(began) > 1600*time.Millisecond })
	add(3, &schemas.Entry{Record: &schemas.Record{Status: schemas.Status_FAILED, Error: &schemas.Error{Code: "no"}, History: true}})
	recorded := time.Now()
	s.start()
	s.until("record and history are removed", func() bool {
		all := s.entries()
		switch n := len(all); {
		case n > 0 && all[n-1].Entry.GetRecord() == nil:
			t.Fatalf("%d entries are there without their record", n)
		case n < 3 && time.Since(recorded) < 1400*time.Millisecond:
			t.Fatalf("%d entries of 3 are left before the retention time", n)
		}
		return len(all) == 0
	})
}

// TestP19_WhatAGenerationLeftGoesBeforeTheRecord: the server was killed between
// storing the entry with which a run continues and removing what that replaces, and
// the run failed later: its record keeps the history, and its removal brings nothing
// back.
func TestP19_WhatAGenerationLeftGoesBeforeTheRecord(t *testing.T) {
	t.Parallel()
	s := setup(t, newGates().all()...).sweeping(1500 * time.Millisecond)
	r := ref("account", "a", "1")
	started := &schemas.Event{Kind: &schemas.Event_Started{Started: &schemas.Started{Method: "write", Input: &schemas.Payload{Data: []byte(`"x"`)}}}}
	for n, e := range []*schemas.Entry{
		{Events: []*schemas.Event{started}},
		{Events: []*schemas.Event{{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{Path: "1"}}}}},
		{Events: []*schemas.Event{{Kind: &schemas.Event_Continued{Continued: &schemas.Continued{Generation: 1}}}, started}},
		{Record: &schemas.Record{Status: schemas.Status_FAILED, Error: &schemas.Error{Code: "no"}, History: true}},
	} {
		e.Epoch, e.Nonce, e.Counter, e.At = 1, []byte("x"), uint64(n), time.Now().UnixNano()
		data, err := proto.Marshal(e) // without the roll-up, as it is left then
		if err != nil {
			t.Fatal(err)
		}
		if _, err := brokertest.Request(s.ctx, s.b, s.b.Names().RunSubject(r), string(data)); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	s.until("record and history are removed", func() bool {
		all := s.entries()
		if n := len(all); n > 0 && all[n-1].Entry.GetRecord() == nil {
			t.Fatalf("%d entries are there without their record", n)
		}
		return len(all) == 0
	})
}
