package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// The server removes a file of messages that has none left, and makes the next one
// for the next message. A work queue that is emptied by each run would do so with each:
// a sixth of the time of a run that goes alone, and, at [Disk], an fsync of three
// folders. So the work queues of a pool keep a message that no consumer takes, in the
// file that is appended to.

// The files of a work queue have 4 MiB. The kept message is put into the stream anew
// after keepEvery bytes of deliveries, so that it is soon in the next file, which each
// run empties until then. Beside its body a message takes about keptBeside bytes of a
// file: its subject, its headers, and the mark that it was removed.
const (
	keepEvery  = 128 << 10
	keptBeside = 512
)

// A keeper keeps the message of one stream.
type keeper struct {
	b       *Broker
	stream  string
	subject string
	bytes   atomic.Int64  // delivered since it was put there
	due     chan struct{} // poked when it is to be put there anew
}

// keepers are those of the pool's streams.
type keepers struct {
	all     map[string]*keeper // by stream; not changed once it is set
	workers sync.WaitGroup
}

// keptSubject is where the kept message of a stream of the pool is.
func (n Names) keptSubject(stream string) string { return n.ns + ".kept." + stream }

// keepWait is how long a start waits for the messages to be there: it goes on without.
const keepWait = 2 * time.Second

// keep puts a message into each work queue of the pool, and renews it until the broker
// is closed.
func (b *Broker) keep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, keepWait)
	defer cancel()
	b.kept.all = map[string]*keeper{}
	var put sync.WaitGroup
	for _, r := range []*reader{b.inbox, b.timers} {
		k := &keeper{b: b, stream: r.stream, subject: b.names.keptSubject(r.stream), due: make(chan struct{}, 1)}
		b.kept.all[r.stream] = k
		put.Go(func() {
			err := k.put(ctx)
			k.failed(err)
			b.kept.workers.Go(func() { k.work(err == nil) })
		})
	}
	put.Wait()
}

// delivered counts a message that left a stream.
func (k *keepers) delivered(stream string, size int) {
	if k := k.all[stream]; k != nil && k.bytes.Add(int64(size+keptBeside)) > keepEvery {
		k.bytes.Store(0)
		poke(k.due)
	}
}

// work renews the message whenever it is due. There is one from before to remove if it
// was put.
func (k *keeper) work(put bool) {
	life := k.b.link.life
	for {
		if put {
			k.failed(k.removeOthers(life))
		}
		select {
		case <-k.due:
			err := k.put(life)
			k.failed(err)
			put = err == nil
		case <-life.Done():
			return
		}
	}
}

// put puts the message behind all others.
func (k *keeper) put(ctx context.Context) error {
	_, err := k.b.pub.publish(ctx, &nats.Msg{Subject: k.subject})
	return err
}

// removeOthers removes the messages that were kept before.
func (k *keeper) removeOthers(ctx context.Context) error {
	return k.b.pub.request(ctx, "$JS.API.STREAM.PURGE."+k.stream, map[string]any{"filter": k.subject, "keep": 1}, nil)
}

func (k *keeper) failed(err error) {
	if err != nil && k.b.link.life.Err() == nil {
		k.b.cfg.Logger.Debug("a stream has no message that is kept, or more than one: runs that go alone are slower", "stream", k.stream, "error", err)
	}
}
