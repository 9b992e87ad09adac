package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

func TestSmoke(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	t0 := time.Now()
	b, err := broker.Open(ctx, broker.Config{Dir: t.TempDir(), Durability: broker.Disk, Kinds: []schemas.Kind{"weather", "wf", "stock"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("open", time.Since(t0))
	defer b.Close()
	id := schemas.Identity{Kind: "hello", Key: "amster dam.é"}
	acc, err := b.Inbox().Publish(ctx, broker.LocalDomain, id, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "order-17"})
	t.Log(acc, err)
	p := b.Names().Partition(id)
	f, err := b.Inbox().Take(ctx, p, 1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", d)
	ref := id.Run("order-17")
	out, err := b.Journal().Append(ctx, ref, 0, &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 1})
	t.Log(out, err)
	out2, err := b.Journal().Append(ctx, ref, out.Seq, &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 2, Events: []*schemas.Event{{}}})
	t.Log(out2, err)
	zz, err := b.Journal().Append(ctx, ref, out.Seq, &schemas.Entry{Epoch: 1, Nonce: []byte("z"), Counter: 2, Events: []*schemas.Event{{}}})
	t.Log("zombie", zz, err)
	l, err := b.Journal().Load(ctx, ref)
	t.Log(len(l), err)
	t0 = time.Now()
	seq := out2.Seq
	for i := range 1000 {
		o, err := b.Journal().Append(ctx, ref, seq, &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 3 + uint64(i), Events: []*schemas.Event{{}}})
		if err != nil {
			t.Fatal(err)
		}
		seq = o.Seq
	}
	t.Log("append", time.Since(t0)/1000)
	t0 = time.Now()
	l, err = b.Journal().Load(ctx, ref)
	t.Log(len(l), err, time.Since(t0))
	o, err := b.Journal().Append(ctx, ref, seq, &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 2000, Record: &schemas.Record{}})
	t.Log(o, err)
	l, err = b.Journal().Load(ctx, ref)
	t.Log(len(l), err)
	t.Log(b.State().Put(ctx, id, 0, &schemas.State{Run: "order-17", Sequence: o.Seq}))
	t.Log(b.State().Get(ctx, id))
	t.Log(f.Ack(ctx, d))
	t.Log(b.ClockSkew(ctx))
	t0 = time.Now()
	t.Log(b.Schedules().Set(ctx, id, broker.TimerID("order-17", "1.1"), time.Now().Add(300*time.Millisecond), &schemas.Envelope{Type: schemas.Envelope_WAKE, Id: "x", Run: "order-17", Path: "1.1"}))
	t.Log(b.Schedules().Pending(ctx, id))
	d, err = f.Next(ctx)
	t.Logf("%+v %v %v", d, err, time.Since(t0))
	t.Log(b.Schedules().Pending(ctx, id))
	t.Log(b.Leases().Put(ctx, "member.a", []byte("v"), 0, time.Second))
	for c, err := range b.Leases().Watch(ctx, "member") {
		t.Log(c, err, time.Since(t0))
		if c.Gone || err != nil {
			break
		}
	}
	t.Log(b.Leases().Put(ctx, "member.a", []byte("v"), 0, time.Second))
	t.Log(b.Leases().List(ctx, ""))
	t0 = time.Now()
	t.Log(f.Release(ctx), b.Close(), time.Since(t0))
}
