package perdure

import (
	"context"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/schemas"
)

// Audit says how a namespace is looked through by [Client.Audit]. The zero value looks,
// and changes nothing.
type Audit = actors.Audit

// Finding is something in a namespace that is not where it should be.
type Finding = actors.Finding

// AuditReport is what an audit has found, and how much it has looked at.
type AuditReport = actors.AuditReport

// Audit looks through a namespace, of all its pools, for what is not where it should be:
// runs that nothing brings back, wake-ups that have not fired, effects of runs that are
// missing, and what crashes left. With [Audit.Repair] it repairs what a program may.
// What may be so for a moment only is looked at twice, so that a namespace at work has
// no findings. It asks NATS, and no node: none need be alive. The error says that it
// could not look at everything; the report has what it has found by then.
//
// Nothing that is promised of a run depends on it.
func (c *Client) Audit(ctx context.Context, a Audit) (*AuditReport, error) {
	a.EveryNode = func(pool string) (names []schemas.Kind) {
		for _, k := range everyNode(pool) {
			names = append(names, k.Name)
		}
		return names
	}
	return actors.RunAudit(ctx, c.b, a)
}

// Unchecked lets [Dial] open a namespace whose streams differ from what this version
// needs, or are not all there, so that [Client.Audit] can say in what. Nothing else is
// to be asked of such a client.
func Unchecked() Option {
	return func(o *options) error { o.broker.Unchecked = true; return nil }
}
