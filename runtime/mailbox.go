package runtime

import (
	"slices"
	"sync"

	"github.com/perdure/perdure/schemas"
)

// A Mailbox takes messages for a run from its host, and reports of its steps,
// to the one goroutine that executes it. Putting never blocks.
type Mailbox struct {
	mu    sync.Mutex
	mail  []*schemas.Envelope
	steps []stepDone
	spare []stepDone // what take returned last, used again
	// refusals are tasks of other runs of the identity, which do not wait.
	refusals []refusal
	sealed   bool
	received int           // messages of the host's
	notify   chan struct{} // holds a token while there is something
}

// NewMailbox returns an empty mailbox.
func NewMailbox() *Mailbox { return &Mailbox{notify: make(chan struct{}, 1)} }

// Put adds a message for the run: a result, a wake-up, a cancellation, or its
// own task again. It returns false once the execution has taken its last: the
// message is for whatever comes after the ending.
func (m *Mailbox) Put(env *schemas.Envelope) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sealed {
		return false
	}
	m.mail = append(m.mail, env)
	m.received++
	m.signal()
	return true
}

// putBefore adds messages that came before those that are there.
func (m *Mailbox) putBefore(mail []*schemas.Envelope) {
	if len(mail) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mail = slices.Concat(mail, m.mail)
	m.signal()
}

func (m *Mailbox) putStep(d stepDone) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps = append(m.steps, d)
	m.signal()
}

func (m *Mailbox) signal() {
	select {
	case m.notify <- struct{}{}:
	default:
	}
}

// take returns what has come; the steps until it is called again.
func (m *Mailbox) take() ([]*schemas.Envelope, []stepDone) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mail, steps := m.mail, m.steps
	m.mail, m.steps = nil, m.spare[:0]
	clear(m.spare)
	m.spare = steps
	return mail, steps
}

// again makes whoever waits next look again.
func (m *Mailbox) again() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mail)+len(m.steps) > 0 {
		m.signal()
	}
}

// cancellation returns a message that cancels the run, nil if there is none.
func (m *Mailbox) cancellation() *schemas.Envelope {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, env := range m.mail {
		if env.GetType() == schemas.Envelope_CANCEL {
			return env
		}
	}
	return nil
}

// many reports whether the host has put at least n messages.
func (m *Mailbox) many(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return n > 0 && m.received >= n
}

// empty reports whether nothing waits.
func (m *Mailbox) empty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mail)+len(m.steps)+len(m.refusals) == 0
}

// sealIfEmpty seals a mailbox that holds nothing, so that a message that comes
// while the run suspends is not acknowledged unread.
func (m *Mailbox) sealIfEmpty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mail)+len(m.steps)+len(m.refusals) > 0 {
		return false
	}
	m.sealed = true
	return true
}

// seal returns what is left, and takes no more.
func (m *Mailbox) seal() []*schemas.Envelope {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sealed = true
	mail := m.mail
	m.mail, m.steps, m.refusals = nil, nil, nil
	return mail
}
