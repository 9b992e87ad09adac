package actors

import (
	"fmt"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// identify gives a task that came without an ID the one that its kind says:
// that of a workflow is its key. The error says that this is no ID.
func identify(d broker.Delivery, oncePerKey bool) error {
	if !d.NoID || !oncePerKey || d.Envelope.GetType() != schemas.Envelope_TASK {
		return nil
	}
	d.Envelope.Id = keyID(d)
	if err := schemas.RunID(d.Envelope.Id).Validate(); err != nil {
		return fmt.Errorf("message ID: %w; set Perdure-Id", err)
	}
	return nil
}

// keyID is the ID that a message's key stands for: as any ID it is qualified, so
// that no domain can take the run which another one's key names (P21).
func keyID(d broker.Delivery) string { return broker.Qualified(d.From, d.To.Key) }
