package cluster

import (
	"bytes"
	"context"
	"fmt"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// buryEmbedded removes the members that ran this process's embedded server
// before it: the server's directory is locked by one process, so they are
// dead for sure, and a restart waits for no lease of its dead self.
func (m *Member) buryEmbedded(ctx context.Context) error {
	if !m.cfg.Embedded {
		return nil
	}
	m.mu.Lock()
	dead := map[string]uint64{}
	for node, p := range m.roster.peers {
		if p.record.GetEmbedded() && !bytes.Equal(p.record.GetNonce(), m.cfg.Nonce) {
			dead[node] = p.rev
		}
	}
	m.mu.Unlock()
	for node, rev := range dead {
		if err := m.bury(ctx, node, rev, "it ran the server that this process runs now"); err != nil {
			return err
		}
	}
	return nil
}

// bury removes the key of a member that is dead, if it is still at rev.
func (m *Member) bury(ctx context.Context, node string, rev uint64, why string) error {
	if err := m.cfg.Store.Delete(ctx, m.keys.member(node), rev); err != nil {
		return fmt.Errorf("remove the dead member %q: %w", node, err)
	}
	m.cfg.Log.Info("a dead member was removed", "node", node, "why", why)
	return nil
}

// takeName returns once nobody else can be alive under this node's name.
func (m *Member) takeName(ctx context.Context) error {
	for {
		value, rev, known, err := m.cfg.Store.Get(ctx, m.keys.member(m.cfg.Node))
		if err != nil {
			return err
		}
		old := &schemas.Member{}
		if err := unmarshal(value, old); err != nil {
			return fmt.Errorf("read the key of node %q: %w", m.cfg.Node, err)
		}
		switch verdict := m.probe(ctx, m.cfg.Node, m.cfg.Nonce); {
		case verdict == stranger:
			return m.namesake(old)
		case !known, bytes.Equal(old.GetNonce(), m.cfg.Nonce):
			// A namesake that neither answers nor has a lease is not waited for.
			return nil
		case verdict == silent:
			if m.wait(ctx, probeAgain); ctx.Err() == nil && m.probe(ctx, m.cfg.Node, m.cfg.Nonce) == silent {
				if err := m.bury(ctx, m.cfg.Node, rev, "a new process has its name, and nobody answers"); err != nil {
					return err
				}
				continue
			}
		}
		// It hangs. Its lease ends, or it lives.
		if err := m.awaitExpiry(ctx, rev); err != nil {
			return err
		}
	}
}

// awaitExpiry waits until the own name's key of revision rev has gone.
func (m *Member) awaitExpiry(ctx context.Context, rev uint64) error {
	m.cfg.Log.Info("another process may be alive under this node's name; waiting for its lease", "node", m.cfg.Node)
	end := m.cfg.clock() + 3*m.cfg.LeaseTTL
	for m.cfg.clock() < end {
		if m.wait(ctx, probeAgain); ctx.Err() != nil {
			return fmt.Errorf("wait for the lease of a process of the same name: %w", ctx.Err())
		}
		value, now, ok, err := m.cfg.Store.Get(ctx, m.keys.member(m.cfg.Node))
		if err != nil || !ok {
			return err
		}
		if now != rev {
			other := &schemas.Member{}
			if err := unmarshal(value, other); err != nil {
				return fmt.Errorf("read the key of node %q: %w", m.cfg.Node, err)
			}
			return m.namesake(other)
		}
	}
	return fmt.Errorf("%w: the key of node %q has not expired in %v; delete it, or choose another name", ErrNodeTaken, m.cfg.Node, 3*m.cfg.LeaseTTL)
}

// unmarshal reads a key's value.
func unmarshal(value []byte, into proto.Message) error {
	if err := proto.Unmarshal(value, into); err != nil {
		return fmt.Errorf("decode %d bytes: %w", len(value), err)
	}
	return nil
}
