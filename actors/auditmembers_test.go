package actors_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// TestP08_AuditFindsConsumersOfNoOwner leaves consumers of an epoch that is over, and
// an owner key that names a process which is dead.
func TestP08_AuditFindsConsumersOfNoOwner(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()()
	s.clean()
	const p = schemas.Partition(2)
	key := "owner.default." + p.String()
	value, rev, _, err := s.b.Leases().Get(s.ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	owner := &schemas.Owner{}
	if err := proto.Unmarshal(value, owner); err != nil || owner.GetEpoch() == 0 {
		t.Fatalf("%v, %v", owner, err)
	}
	leave := func(epoch uint64) {
		t.Helper()
		f, err := s.b.Inbox().Take(s.ctx, p, epoch)
		if err != nil {
			t.Fatal(err)
		}
		mark, err := s.b.Inbox().Mark(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.until("the consumer of the timers is made, too", func() bool {
			whole, err := f.CaughtUp(s.ctx, mark, 0)
			return err == nil && whole
		})
		f.Stop()
	}
	leave(owner.GetEpoch())
	report := s.audit(true)
	if len(report.Findings) != 2 || report.Left() != 0 {
		t.Fatalf("found %+v, want the consumers of the inbox and of the timers, and that they are repaired", report.Findings)
	}
	for i, stream := range []string{s.b.Names().InboxStream(), s.b.Names().TimersStream()} {
		f := report.Findings[i]
		if f.Kind != actors.FoundStrayConsumer || f.Subject != fmt.Sprintf("%s p2-e%d", stream, owner.GetEpoch()) || !strings.Contains(f.Found, "nobody owns the partition") {
			t.Errorf("found %+v", f)
		}
	}
	s.clean()

	dead, err := proto.Marshal(&schemas.Owner{Node: "gone", Nonce: []byte("of a process that is gone"), Epoch: owner.GetEpoch() + 1})
	if err != nil {
		t.Fatal(err)
	}
	leave(owner.GetEpoch())
	if out, err := s.b.Leases().Put(s.ctx, key, dead, rev, 0); err != nil || out.Fenced {
		t.Fatalf("%+v, %v", out, err)
	}
	if f := s.audit(false).Findings; len(f) != 3 || !strings.Contains(f[1].Found, fmt.Sprintf("the partition is in epoch %d", owner.GetEpoch()+1)) {
		t.Fatalf("found %+v, want the owner and two consumers of an epoch before", f)
	}
	s.found(actors.FoundDeadOwner, "pool default, node gone")
	s.clean()
	s.start()
	s.send(ref("account", "a", "1"), "write", "x")
	s.end(ref("account", "a", "1"))
	s.idle(ref("account", "a", "1").Identity)
	s.clean()
}

// TestP08_AuditSparesThePartitionOfAnUnreadableOwner has something else write owner
// keys: while no node is alive, and the key of a live one.
func TestP08_AuditSparesThePartitionOfAnUnreadableOwner(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	r := ref("account", "a", "1")
	p := schemas.PartitionOf(r.Identity, s.b.Partitions())
	s.send(r, "write", "one")
	s.end(r)
	s.idle(r.Identity)
	spoil := func() {
		t.Helper()
		subject := "$KV." + s.b.Names().ClusterBucket() + ".owner.default." + p.String()
		if answer, err := s.b.Conn().RequestWithContext(s.ctx, subject, []byte("\xff\xffgarbage")); err != nil || strings.Contains(string(answer.Data), "error") {
			t.Fatalf("%v, %+v", err, answer)
		}
	}
	spoil()
	two := ref("account", "a", "2")
	s.send(two, "write", "two")
	s.end(two) // its owner takes it anew
	s.idle(r.Identity)
	s.clean()
	stop()

	spoil()
	f, err := s.b.Inbox().Take(s.ctx, p, 2) // of an owner of before, which may live
	if err != nil {
		t.Fatal(err)
	}
	defer f.Stop()
	subject := fmt.Sprintf("pool default, owner of partition %s", p)
	if report := s.audit(false); len(report.Findings) != 1 {
		t.Fatalf("found %+v, want the key, and not the consumers", report.Findings)
	}
	if f := s.found(actors.FoundUnreadable, subject); !f.Repaired {
		t.Errorf("found %+v, want that it is repaired", f)
	}
	s.clean()
	s.start()
	three := ref("account", "a", "3")
	s.send(three, "write", "three")
	s.end(three)
	s.idle(r.Identity)
	s.clean()
}

// TestAudit_AKindThatNobodyOrTwoPoolsHave has messages that nobody takes, too.
func TestAudit_AKindThatNobodyOrTwoPoolsHave(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	r := ref("account", "a", "1")
	stop()
	s.clean()
	s.send(r, "write", "x")
	if f := s.found(actors.FoundUnhosted, "account"); !strings.Contains(f.Found, "1 messages of the kind wait, and no live node of pool default hosts it") {
		t.Errorf("it says %q", f.Found)
	}
	s.start()
	s.end(r)
	s.idle(r.Identity)
	if out, err := s.b.Leases().Put(s.ctx, "kinds.other", []byte(`["account"]`), 0, 0); err != nil || out.Fenced {
		t.Fatalf("%+v, %v", out, err)
	}
	s.found(actors.FoundKindTwice, "account")
	s.clean()
}

// TestAudit_AStreamThatIsNotAsItShouldBe changes one.
func TestAudit_AStreamThatIsNotAsItShouldBe(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	for _, stream := range []string{s.b.Names().DeadStream(), s.b.Names().InboxStream()} {
		config := s.api("STREAM.INFO."+stream, struct{}{})["config"].(map[string]any)
		config["max_msgs"] = 1000
		s.api("STREAM.UPDATE."+stream, config)
		if f := s.found(actors.FoundStream, stream); !strings.Contains(f.Found, "has a limit of age, messages or bytes") {
			t.Errorf("it says %q", f.Found)
		}
		config["max_msgs"] = -1
		s.api("STREAM.UPDATE."+stream, config)
	}
	s.clean()
}
