package actors_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// TestP17_AnIdentityThatStoppedGoesOn once the value that something else wrote is
// deleted, and one of its runs is resumed; meanwhile its runs say why they stand still.
func TestP17_AnIdentityThatStoppedGoesOn(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]string{"by the run that left the state": "2", "by one that waits": "3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGates()
			s := setup(t, g.all()...)
			s.start()
			account := ref("account", "a", "").Identity
			s.send(account.Run("1"), "write", "one")
			s.end(account.Run("1"))
			s.idle(account)
			s.send(account.Run("2"), "hold", "two")
			s.until("the second holds", func() bool { return g.times("two") == 1 })
			_, rev, err := s.b.State().Get(s.ctx, account)
			if err != nil {
				t.Fatal(err)
			}
			p, err := durable.Encode(ledger{Lines: []string{"by hand"}})
			if err != nil {
				t.Fatal(err)
			}
			hand, err := s.b.State().Put(s.ctx, account, rev, &schemas.State{Value: p, Run: "by hand"})
			if err != nil {
				t.Fatal(err)
			}
			g.open("two")
			stopped := func() int { return strings.Count(s.log.String(), "something else wrote it") }
			s.until("the identity has stopped", func() bool { return stopped() == 1 })
			s.send(account.Run("3"), "write", "three")
			for _, id := range []schemas.RunID{"2", "3"} {
				f, err := actors.Find(s.ctx, s.b, account.Run(id))
				if err != nil || !strings.Contains(f.Reason, "that account/a/2 left") {
					t.Errorf("run %s is %s because of %q, %v", id, actors.StatusName(f.Status), f.Reason, err)
				}
			}
			if f, err := actors.Find(s.ctx, s.b, account.Run("1")); err != nil || f.Reason != "" {
				t.Errorf("the first run, whose state was written, has the reason %q, %v", f.Reason, err)
			}
			asked := 0
			resume := func() {
				asked++
				s.publish(account, &schemas.Envelope{Type: schemas.Envelope_CONTROL, Id: fmt.Sprint("resume ", asked), Run: by, Control: &schemas.Control{Action: schemas.Control_RESUME}})
			}
			resume()
			s.until("it is tried again", func() bool { return stopped() == 2 })
			// as a value that was deleted in the bucket is read
			if out, err := s.b.State().Put(s.ctx, account, hand.Seq, &schemas.State{}); err != nil || out.Fenced {
				t.Fatalf("delete: %+v, %v", out, err)
			}
			resume()
			s.end(account.Run("3"))
			if got := state[ledger](s, account).Lines; fmt.Sprint(got) != "[one two begun two three]" {
				t.Errorf("the state has the lines %q, want those of all three runs", got)
			}
		})
	}
}
