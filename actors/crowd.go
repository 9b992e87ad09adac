package actors

import (
	"github.com/perdure/perdure/broker"
)

// thinned says that runs of the identity were moved.
type thinned struct{}

// thin begins to move the runs of the identity that have ended, beside what it does,
// if its journals have many. It may: all of them are settled, and whoever looks for one
// finds it in the one place or in the other.
func (a *activation) thin() {
	head, crowded := a.exec.Crowded()
	u := a.pump
	if !crowded || a.thinning || u.draining() || u.host.member.Layout() < broker.Layout {
		return
	}
	note := a.exec.Thinning()
	a.thinning = u.begin(func() {
		j := u.host.cfg.Broker.Journal()
		goOn := func() bool { return u.ctx.Err() == nil && !u.draining() && u.lease.Valid() }
		moved, left := 0, 0
		err := j.OpenPast(u.ctx)
		if err == nil {
			moved, left, err = j.Move(u.ctx, a.id, head, goOn)
		}
		if err == nil {
			note(moved, left)
		} else if u.ctx.Err() == nil {
			u.host.cfg.Log.Warn("runs that have ended could not be moved; they are later", "identity", a.id.String(), "error", err)
		}
		a.self.tell(thinned{})
	})
}
