package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A hold is a node's standing still for a backup: nothing that runs are made of is
// stored, acknowledged or removed by its process. It ends by itself when whoever asked
// for it is not heard of any more, and after [MaxPause] whatever is asked.
type hold struct {
	mu    sync.Mutex
	id    string      // of the backup; empty: there is none
	began time.Time   // when it was first asked for
	ends  *time.Timer // lets go
	empty <-chan struct{}
}

const (
	// holdFor is how long a node stands still without being asked again.
	holdFor = 5 * time.Second
	// holdEvery is how often it is asked.
	holdEvery = time.Second
	// restWait is how long what is under way may take to end.
	restWait = 4 * time.Second
)

// A holdRequest asks a node to stand still, or to go on doing so, or to let go.
type holdRequest struct {
	ID      string `json:"id"`
	Again   bool   `json:"again,omitempty"`   // it must stand still already
	Release bool   `json:"release,omitempty"` // and let go after that
}

// A holdAnswer is what the node says.
type holdAnswer struct {
	Error string `json:"error,omitempty"`
}

// ServeHolds makes this process stand still when a backup asks its node to, until stop
// is called, which lets go. When it returns, the server has seen it.
func (b *Broker) ServeHolds(ctx context.Context, node string) (stop func(), err error) {
	var (
		mu      sync.Mutex
		stopped bool // nothing begins any more, and so nothing shuts the gate behind stop
		running sync.WaitGroup
	)
	life, end := context.WithCancel(context.Background())
	sub, err := b.link.nc.Subscribe(b.names.nodeHold(node), func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		running.Go(func() {
			answer := holdAnswer{}
			if err := b.held(life, m.Data); err != nil {
				answer.Error = err.Error()
			}
			data, _ := json.Marshal(answer) // a string
			_ = m.Respond(data)             // whoever asked asks again
		})
	})
	if err != nil {
		end()
		return nil, fmt.Errorf("serve backups at node %s: %w", node, err)
	}
	stop = func() {
		_ = sub.Unsubscribe()
		mu.Lock()
		stopped = true
		mu.Unlock()
		end()
		running.Wait()
		b.letGo("")
	}
	if err := subscribed(ctx, b.link, sub.Subject); err != nil {
		stop()
		return nil, fmt.Errorf("serve backups at node %s: %w", node, err)
	}
	return stop, nil
}

// held does what a request asks, and returns once this process stands still.
func (b *Broker) held(ctx context.Context, data []byte) error {
	var req holdRequest
	if err := json.Unmarshal(data, &req); err != nil || req.ID == "" {
		return fmt.Errorf("the request %.40q is none to stand still", data)
	}
	h := &b.hold
	h.mu.Lock()
	if h.id != "" && h.id != req.ID {
		h.mu.Unlock()
		return errors.New("another backup is being taken; wait until it has ended")
	}
	if h.id == "" {
		if req.Again {
			h.mu.Unlock()
			return errors.New("it has gone on meanwhile, having not been asked for too long to stand still")
		}
		h.id, h.began, h.empty = req.ID, time.Now(), b.pub.gate.shut()
		h.ends = time.AfterFunc(holdFor, func() { b.letGo(req.ID) })
		b.cfg.Logger.Warn("this process stands still for a backup: nothing is stored until it has ended", "backup", req.ID)
	} else if !h.ends.Reset(min(holdFor, MaxPause-time.Since(h.began))) {
		h.mu.Unlock() // the timer is letting go just now
		return errors.New("it has gone on meanwhile, having not been asked for too long to stand still")
	}
	empty := h.empty
	h.mu.Unlock()
	if req.Release {
		b.letGo(req.ID)
		return nil
	}
	rest := time.NewTimer(restWait)
	defer rest.Stop()
	select {
	case <-empty:
		return nil
	case <-rest.C:
		b.letGo(req.ID)
		return fmt.Errorf("what is being stored has not ended within %v: NATS may not answer it", restWait)
	case <-ctx.Done():
		return errors.New("it is stopping")
	}
}

// letGo ends a hold; an empty id stands for any.
func (b *Broker) letGo(id string) {
	h := &b.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.id == "" || id != "" && h.id != id {
		return
	}
	h.ends.Stop()
	b.pub.gate.open()
	b.cfg.Logger.Warn("this process goes on after a backup", "backup", h.id, "paused", time.Since(h.began))
	h.id, h.empty = "", nil
}

// askHold asks a node once. alive is false, without an error, if nobody answers for it.
func (b *Broker) askHold(ctx context.Context, node string, req holdRequest) (alive bool, err error) {
	data, err := json.Marshal(req)
	if err != nil {
		return false, fmt.Errorf("encode the request to stand still: %w", err)
	}
	w := b.mux.register()
	defer b.mux.forget(w)
	msg, err := b.pub.try(ctx, w, &nats.Msg{Subject: b.names.nodeHold(node), Reply: w.reply, Data: data}, holdFor)
	if errors.Is(err, errNoResponders) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask node %s to stand still: %w", node, err)
	}
	var answer holdAnswer
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return false, fmt.Errorf("ask node %s to stand still: %w: its answer is %.40q", node, ErrIncompatible, msg.Data)
	}
	if answer.Error != "" {
		return true, fmt.Errorf("node %s does not stand still: %s", node, answer.Error)
	}
	return true, nil
}
