package broker

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

func TestParseAck(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]struct {
		stream    string
		seq       uint64
		duplicate bool
	}{
		`{"stream":"S","seq":1}`:                              {"S", 1, false},
		`{"stream":"S", "seq": 18446744073709551615}`:         {"S", 18446744073709551615, false},
		`{"stream":"S","domain":"hub","seq":22}`:              {"S", 22, false},
		`{"stream":"S","seq":7,"duplicate": true}`:            {"S", 7, true},
		`{"stream":"errors","seq":7,"duplicate": false}`:      {"errors", 7, false},
		`{"stream":"S","seq":9,"batch":"b","count":2}`:        {"S", 9, false},
		`{"type":"io.nats","stream":"my \"error\"","seq":12}`: {`my "error"`, 12, false},
	} {
		got, refusal, err := parseAck([]byte(data))
		if string(got.stream) != want.stream || got.seq != want.seq || got.duplicate != want.duplicate || refusal != nil || err != nil {
			t.Errorf("%s is read as %+v, %v, %v; want %+v", data, got, refusal, err, want)
		}
	}
	_, refusal, err := parseAck([]byte(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"},"stream":"S","seq":0}`))
	if err != nil || refusal == nil || !refusal.fenced() || refusal.inFlight() || refusal.temporary() {
		t.Errorf("the refusal is read as %v, %v", refusal, err)
	}
	for _, data := range []string{"", "{}", "null", "hello", `{"seq":"x"}`, `{"stream":"S","seq":0}`} {
		if got, refusal, err := parseAck([]byte(data)); !errors.Is(err, ErrIncompatible) {
			t.Errorf("%q is read as %+v, %v, %v; want ErrIncompatible", data, got, refusal, err)
		}
	}
}

func TestRefusal_CodesAreMatchedByNumber(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]error{
		10100: ErrPartitionTaken, 10148: ErrPartitionTaken, 10014: ErrConsumerGone,
		10054: ErrTooLarge, 10097: ErrTooLarge, 10076: ErrNoJetStream, 10039: ErrNoJetStream, 10059: ErrNoNamespace,
	} {
		if err := error(&refusal{Code: code}); !errors.Is(err, want) {
			t.Errorf("code %d is not %v", code, want)
		}
	}
	for _, code := range []int{10164, 10158} {
		if r := (&refusal{Code: code}); r.fenced() || !r.inFlight() {
			t.Errorf("code %d is taken for the fence", code)
		}
	}
}

func TestFromConsumer_ReadsBothFormsOfTheReplySubject(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{
		"$JS.ACK.perdure_INBOX.p7-e1.2.31.4.1795543124427535879.5",
		"$JS.ACK.hub.ACCHASH.perdure_INBOX.p7-e1.2.31.4.1795543124427535879.5",
		"$JS.ACK.hub.ACCHASH.perdure_INBOX.p7-e1.2.31.4.1795543124427535879.5.token",
	} {
		m, err := fromConsumer(&nats.Msg{Subject: "s", Reply: reply})
		if err != nil || m.seq != 31 || m.delivery != 4 || m.pending != 5 || m.time.UnixNano() != 1795543124427535879 || m.reply != reply {
			t.Errorf("%s is read as %+v, %v", reply, m, err)
		}
	}
	for _, reply := range []string{"", "_INBOX.x", "$JS.ACK.S.C.1.2", "$JS.ACK.S.C.1.x.3.4.5"} {
		if _, err := fromConsumer(&nats.Msg{Reply: reply}); !errors.Is(err, ErrIncompatible) {
			t.Errorf("%q: %v, want ErrIncompatible", reply, err)
		}
	}
}

func TestConsumerNames_ParseIsTheInverse(t *testing.T) {
	t.Parallel()
	n, err := NewNames("ns", 64)
	if err != nil {
		t.Fatal(err)
	}
	if p, e, ok := n.parseConsumer(n.consumer(7, 12)); n.consumer(7, 12) != "p7-e12" || p != 7 || e != 12 || !ok {
		t.Errorf("p7-e12 is read as partition %v, epoch %d, %v", p, e, ok)
	}
	for _, s := range []string{"", "p7", "p7-e", "p07-e1", "p7-e01", "q7-e1", "p7-e1x", "follow-e1", "p-e1", "p7-e-1"} {
		if _, _, ok := n.parseConsumer(s); ok {
			t.Errorf("%q is taken for a partition's consumer", s)
		}
	}
}

func TestDurability_WhatItSetsOnTheServer(t *testing.T) {
	t.Parallel()
	var disk, grouped, process server.Options
	Disk.apply(&disk, false)
	Disk.apply(&grouped, true)
	Process.apply(&process, false)
	if !disk.SyncAlways {
		t.Error("disk does not fsync before it acknowledges")
	}
	for _, o := range []server.Options{grouped, process} {
		if o.SyncAlways || o.SyncInterval != time.Second {
			t.Errorf("the server syncs always: %v, every %v; want every second", o.SyncAlways, o.SyncInterval)
		}
	}
}

func TestMessageID_TypesNeverCollide(t *testing.T) {
	t.Parallel()
	seen := map[string]schemas.Envelope_Type{}
	for v := range schemas.Envelope_Type_name {
		for _, id := range []string{"1", "1/task", "1/result"} {
			k := messageID("local", schemas.Identity{Kind: "wf", Key: "k"}, &schemas.Envelope{Type: schemas.Envelope_Type(v), Id: id})
			if other, dup := seen[k]; dup {
				t.Errorf("%v and %v share the message ID %s", other, schemas.Envelope_Type(v), k)
			}
			if seen[k] = schemas.Envelope_Type(v); !strings.HasPrefix(k, "local/wf/k/1") {
				t.Errorf("message ID %s does not name the reference", k)
			}
		}
	}
}

// Whole waits until a feed delivers wake-ups, too.
func Whole(f *Feed) { <-f.whole }

// StartTwin starts a server that has another one's name, without JetStream, which knows one
// server of the cluster.
func StartTwin(t *testing.T, name, cluster, route string) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		ServerName: name, Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		Cluster: server.ClusterOpts{Name: cluster, Host: "127.0.0.1", Port: server.RANDOM_PORT},
		Routes:  []*url.URL{{Scheme: "nats-route", Host: route}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
}

// P08: another leader that knows of fewer deliveries than were received has forgotten them,
// and will deliver again. That ends the feed at once.
func TestPuller_ALeaderThatForgotEndsIt(t *testing.T) {
	t.Parallel()
	for known, want := range map[uint64]error{4: ErrGap, 5: nil, 6: nil} {
		l := &leg{consumer: "p7-e1", doubt: true}
		l.last.Store(5)
		p := &puller{legs: []*leg{l}, delivered: func(context.Context, *leg) (uint64, error) { return known, nil }}
		if err := p.settle(t.Context(), l); !errors.Is(err, want) || l.doubt != (want != nil) {
			t.Errorf("of 5 deliveries the next leader knows %d: %v, in doubt %v; want %v", known, err, l.doubt, want)
		}
	}
}
