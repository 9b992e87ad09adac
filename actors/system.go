package actors

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/perdure/perdure/schemas"
)

// The seam to protoactor: it gives each activation its mailbox, in order and
// without a lock. Nothing else of the repository sees it.

// system is the actor system of a node.
type system struct {
	actors *actor.ActorSystem
	log    *slog.Logger
}

func newSystem(log *slog.Logger) *system {
	quiet := slog.New(slog.DiscardHandler) // it prints to stderr by itself otherwise
	s := &system{
		actors: actor.NewActorSystemWithConfig(actor.Configure(
			actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }),
			actor.WithDeadLetterThrottleCount(0),
		)),
		log: log,
	}
	shrink(s.actors.ProcessRegistry)
	return s
}

// registryMaps is of how many maps a registry is made. Each has a lock for every 32nd
// of its names, so that this is 512 locks.
const registryMaps = 16

// shrink makes a registry, to which nobody else adds yet, of fewer maps. It has 1,024,
// of 32 maps each, which take 4 MB when they are empty, and 10 MB once each had a name.
func shrink(r *actor.ProcessRegistryValue) {
	all := r.LocalPIDs.LocalPIDs
	r.LocalPIDs.LocalPIDs = slices.Clone(all[:registryMaps])
	for _, m := range all[registryMaps:] { // 1,024 are a multiple of 16: the names of those that stay are where they belong
		m.IterCb(func(name string, v any) { r.LocalPIDs.GetBucket(name).Set(name, v) })
	}
}

// Prepare begins to make what a host needs that nothing else has a part in. It takes
// some milliseconds: a program calls it before what takes time itself.
func (c *Config) Prepare() {
	c.defaults()
	log := c.Log
	made := make(chan *system, 1)
	c.system = func() *system { return <-made }
	go func() { made <- newSystem(log) }()
}

// address is where messages for one activation go.
type address struct {
	system *system
	pid    *actor.PID
}

// tell puts a message into the mailbox; it never blocks. Messages to an
// activation that has stopped are dropped.
func (a address) tell(msg any) { a.system.actors.Root.Send(a.pid, msg) }

// stop ends the activation after the message that it is handling.
func (a address) stop() { a.system.actors.Root.Stop(a.pid) }

// idle is what an activation receives from its pump when nothing came for a
// while.
type idle struct{}

// receiver handles the messages of one mailbox, one at a time.
type receiver interface {
	receive(msg any)
	panicked(v any, stack []byte)
}

// spawn starts an activation under a name that is unique in the system.
func (s *system) spawn(id schemas.Identity, n uint64, make func(address) receiver) (address, error) {
	var to receiver
	props := actor.PropsFromFunc(func(c actor.Context) {
		defer func() {
			if v := recover(); v != nil {
				to.panicked(v, debug.Stack())
			}
		}()
		switch msg := c.Message().(type) {
		case *actor.Started:
			to = make(address{s, c.Self()})
		case *actor.Stopping, *actor.Stopped, *actor.Restarting:
		default:
			to.receive(msg)
		}
	})
	pid, err := s.actors.Root.SpawnNamed(props, fmt.Sprintf("%s#%d", id, n))
	if err != nil {
		return address{}, fmt.Errorf("activate %s: %w", id, err)
	}
	return address{s, pid}, nil
}

func (s *system) shutdown() { s.actors.Shutdown() }
