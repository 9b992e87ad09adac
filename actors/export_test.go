package actors

import (
	"context"
	"slices"
	"time"
)

// Held returns how many messages of the inbox the host holds, and how many
// bytes of them are in memory.
func (h *Host) Held() (messages, bytes int64) {
	h.held.mu.Lock()
	defer h.held.mu.Unlock()
	return h.held.messages + h.held.resting, h.held.bytes
}

// MaxEarly is how many signals an identity keeps for runs that never began.
const MaxEarly = maxEarly

// SetStillness says how long a host that holds its most waits before it takes
// another message all the same.
func (c *Config) SetStillness(d time.Duration) { c.stillness = d }

// SetAlarms says how many runs that it has suspended a host wakes itself.
func (c *Config) SetAlarms(n int) { c.alarms = n }

// Alarms returns the runs that the host wakes itself, sorted.
func (h *Host) Alarms() (runs []string) {
	h.alarms.mu.Lock()
	defer h.alarms.mu.Unlock()
	for _, a := range h.alarms.queue {
		runs = append(runs, a.id.Run(a.run).String())
	}
	slices.Sort(runs)
	return runs
}

// RoomBesideOthers returns what is closed once a pump of a full host, none of whose
// messages move, takes another; every now and then another pump lets one go, and
// takes one.
func RoomBesideOthers(ctx context.Context, stillness, now time.Duration) <-chan struct{} {
	h := &held{maxMessages: 2, maxBytes: 1, stillness: stillness}
	own, other := share{of: h}, share{of: h}
	own.add(1, 0, 0)
	other.add(2, 0, 0)
	took := make(chan struct{})
	go func() {
		own.room(ctx)
		close(took)
	}()
	go func() {
		t := time.NewTicker(now)
		defer t.Stop()
		for ctx.Err() == nil {
			<-t.C
			other.add(1, 0, 0)
			other.add(-1, 0, 0)
		}
	}()
	return took
}

// Activations returns how many identities the host has in memory.
func (h *Host) Activations() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.pumps {
		u.mu.Lock()
		n += len(u.activations)
		u.mu.Unlock()
	}
	return n
}

// Appending returns how many entries are on their way to the journal.
func (h *Host) Appending() int64 { return h.slots.appending.Load() }

// SetAuditSettle says how long a host waits between the two looks of an audit.
func (c *Config) SetAuditSettle(d time.Duration) { c.auditSettle = d }

// SetAuditOverdue says when a wake-up is overdue for the audits of a host.
func (c *Config) SetAuditOverdue(d time.Duration) { c.auditOverdue = d }

// WaitForAPlace returns how many tasks the host knows that have no place yet, those that
// are put off too.
func (h *Host) WaitForAPlace() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.pumps {
		u.lines.mu.Lock()
		n += u.lines.inMemory + u.lines.putOff
		u.lines.mu.Unlock()
	}
	return n
}

// PutOff returns how many tasks are put off.
func (h *Host) PutOff() int {
	h.held.mu.Lock()
	defer h.held.mu.Unlock()
	return int(h.held.later)
}
