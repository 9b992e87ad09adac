package actors_test

import (
	"fmt"
	"testing"

	"github.com/perdure/perdure/schemas"
)

// crowded is more runs than an identity has in its journals.
const crowded = 300

// crowd lets an identity have so many runs that those which ended are moved, and
// returns the first.
func (s *bench) crowd(id schemas.Identity, from, to int) schemas.Ref {
	s.t.Helper()
	for i := from; i < to; i++ {
		s.send(id.Run(schemas.RunID(fmt.Sprint(i))), "write", fmt.Sprint("line ", i))
	}
	s.end(id.Run(schemas.RunID(fmt.Sprint(to - 1))))
	s.idle(id)
	return id.Run(schemas.RunID(fmt.Sprint(from)))
}

// journals returns how many entries an identity has in the journals.
func (s *bench) journals(id schemas.Identity) (n int) {
	s.t.Helper()
	for _, e := range s.entries() {
		if e.Ref.Identity == id {
			n++
		}
	}
	return n
}

func (s *bench) moved(id schemas.Identity) int {
	s.t.Helper()
	n, err := s.b.Journal().PastOf(s.ctx, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func TestP01_RunsThatEndedDoNotCrowdTheirIdentity(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	id := ref("account", "a", "").Identity
	first := s.crowd(id, 0, 1000)
	s.until("runs that ended are moved", func() bool { return s.journals(id) <= 256 })
	if n, m := s.journals(id), s.moved(id); n+m != 1000 {
		t.Errorf("%d runs are in the journals and %d were moved, of 1000", n, m)
	}
	if got := s.status(first); got != "completed" {
		t.Errorf("the first run, which was moved, is %s", got)
	}
	// sent again it is the same run
	s.window()
	s.send(first, "write", "line 0")
	s.idle(id)
	if lines := len(state[ledger](s, id).Lines); lines != 1000 {
		t.Errorf("%d lines are written, want 1000: a run that was moved was executed again", lines)
	}
}
