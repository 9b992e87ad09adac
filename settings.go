package perdure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// What is set for a kind is a key of the cluster's bucket, which nodes that host the kind
// follow: the versions that it had, the last of which is in force.

const (
	// settingsPrefix begins these keys; a kind follows.
	settingsPrefix = "settings."
	// maxSettings bounds one version, and maxHistory what is kept of all, in bytes: a
	// message of a NATS server has 1 MiB, unless it is configured otherwise.
	maxSettings = 256 << 10
	maxHistory  = 768 << 10
)

// A SettingsVersion is what was set for an agent at some time.
type SettingsVersion struct {
	Number   uint64          `json:"number"` // from 1
	Settings json.RawMessage `json:"settings"`
	At       time.Time       `json:"at"`
	By       string          `json:"by,omitempty"`     // who set it, for people
	Reason   string          `json:"reason,omitempty"` // why, for people
}

// settingsHistory is the value of a key.
type settingsHistory struct {
	Versions []SettingsVersion `json:"versions"` // oldest first
}

func (h *settingsHistory) last() SettingsVersion {
	if len(h.Versions) == 0 {
		return SettingsVersion{}
	}
	return h.Versions[len(h.Versions)-1]
}

// encode drops the oldest versions until the rest fits.
func (h *settingsHistory) encode() ([]byte, error) {
	for {
		data, err := json.Marshal(h)
		if err != nil || len(data) <= maxHistory || len(h.Versions) == 1 {
			return data, err
		}
		h.Versions = h.Versions[1:]
	}
}

// settingsOf reads what was set for a kind, and the key's revision.
func settingsOf(ctx context.Context, b *broker.Broker, kind schemas.Kind) (*settingsHistory, uint64, error) {
	h := &settingsHistory{}
	data, rev, ok, err := b.Leases().Get(ctx, settingsPrefix+string(kind))
	if err == nil && ok {
		err = json.Unmarshal(data, h)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the settings of %s: %w", kind, err)
	}
	return h, rev, nil
}

// settle stores another version, if it is right for this node's code of the kind; change
// makes it of those that there are.
func settle(ctx context.Context, b *broker.Broker, k *runtime.Kind, change func(*settingsHistory) (SettingsVersion, error)) (SettingsVersion, error) {
	for {
		h, rev, err := settingsOf(ctx, b, k.Name)
		if err != nil {
			return SettingsVersion{}, err
		}
		next, err := change(h)
		if err != nil {
			return SettingsVersion{}, err
		}
		next.Number, next.At = h.last().Number+1, time.Now().UTC()
		if _, err := k.Configure(next.Number, next.Settings); err != nil {
			return SettingsVersion{}, err
		}
		if n := len(next.Settings); n > maxSettings {
			return SettingsVersion{}, durable.Fail(durable.ErrTooLarge.Code, "the settings of %s have %d bytes; they may have %d", k.Name, n, maxSettings)
		}
		h.Versions = append(h.Versions, next)
		data, err := h.encode()
		if err != nil {
			return SettingsVersion{}, err
		}
		out, err := b.Leases().Put(ctx, settingsPrefix+string(k.Name), data, rev, 0)
		if err != nil {
			return SettingsVersion{}, err
		}
		if !out.Fenced { // otherwise somebody else has set something meanwhile
			return next, nil
		}
	}
}

// settings puts what is set in force on this node.
type settings struct {
	node  *Node
	kinds map[schemas.Kind]*runtime.Kind // that have settings
	done  chan struct{}                  // closed when it follows no more

	mu     sync.Mutex
	forced map[schemas.Kind]NodeSettings
}

// NodeSettings is which settings of an agent a node has in force.
type NodeSettings struct {
	Node   string `json:"node"`
	Number uint64 `json:"number"` // 0: those of the code
	// Error is why a later version is not in force there: the node's code is another one
	// than that which the version was checked by.
	Error string `json:"error,omitempty"`
}

// followSettings puts what is set for the node's kinds in force, and goes on with what is
// set later until the node is closed. It returns once what there is has been looked at.
func followSettings(ctx context.Context, n *Node) (*settings, error) {
	s := &settings{node: n, kinds: map[schemas.Kind]*runtime.Kind{}, done: make(chan struct{}), forced: map[schemas.Kind]NodeSettings{}}
	for name, k := range n.host.Kinds() {
		if k.Configure != nil {
			s.kinds[name] = k
		}
	}
	if len(s.kinds) == 0 {
		close(s.done)
		return s, nil
	}
	caughtUp := make(chan error, 2) // that it has caught up, and then why it ends
	go func() {
		defer close(s.done)
		for c, err := range n.b.Leases().Watch(n.ctx, strings.TrimSuffix(settingsPrefix, ".")) {
			switch {
			case err != nil:
				caughtUp <- err
				if n.ctx.Err() == nil && !errors.Is(err, broker.ErrClosed) {
					n.log.Error("settings of agents are followed no more; those in force stay", "error", err)
				}
				return
			case c.CaughtUp:
				caughtUp <- nil
			default:
				s.take(schemas.Kind(strings.TrimPrefix(c.Key, settingsPrefix)), c.Value)
			}
		}
	}()
	select {
	case err := <-caughtUp:
		return s, err
	case <-ctx.Done():
		return s, ctx.Err()
	}
}

// take puts a version in force, if this node's code can.
func (s *settings) take(kind schemas.Kind, value []byte) {
	k := s.kinds[kind]
	if k == nil {
		return
	}
	h := &settingsHistory{}
	if value != nil { // otherwise somebody has removed the key by hand
		if err := json.Unmarshal(value, h); err != nil {
			s.note(kind, 0, fmt.Errorf("read the settings: %w", err))
			return
		}
	}
	v := h.last()
	var applies []func()
	for _, build := range append([]*runtime.Kind{k}, k.Older...) {
		if build.Configure == nil {
			continue
		}
		apply, err := build.Configure(v.Number, v.Settings)
		if err != nil {
			s.note(kind, v.Number, err)
			return
		}
		applies = append(applies, apply)
	}
	for _, apply := range applies {
		apply()
	}
	s.note(kind, v.Number, nil)
}

// note keeps what became of a version.
func (s *settings) note(kind schemas.Kind, number uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.forced[kind]
	if err != nil {
		now.Error = fmt.Sprintf("version %d: %v", number, err)
		s.forced[kind] = now
		s.node.log.Warn("settings of an agent cannot be put in force here; what was in force stays", "agent", string(kind), "version", number, "in_force", now.Number, "error", err)
		return
	}
	s.forced[kind] = NodeSettings{Number: number}
	s.node.log.Info("settings of an agent are in force", "agent", string(kind), "version", number)
}

// of returns which version of a kind's settings is in force here.
func (s *settings) of(kind schemas.Kind) NodeSettings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forced[kind]
}
