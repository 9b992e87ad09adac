package brokerbench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
)

// payload is the size in bytes of what is published.
const payload = 256

// readyWait is how long the server may take to start.
const readyWait = 10 * time.Second

// Config says what to measure. Dir is needed.
type Config struct {
	// Dir is an empty directory on the disk in question; it is not removed.
	Dir string
	// Durability is Disk, fsync before each acknowledgement, or Process.
	Durability broker.Durability
	// For is how long each of the four measurements takes; 0 means 1 s.
	For time.Duration
	// Writers publish at the same time for Rate; 0 means 64.
	Writers int
}

// Limits are what the machine can do at one durability level.
type Limits struct {
	Fsync   Timing  // a 4 KiB append and its fsync, without NATS
	Publish Timing  // one publisher: publish with a condition, acknowledged
	Rate    float64 // such publishes per second, many writers at once
	Read    Timing  // one reader: the last message of a subject
}

// Measure measures the disk, then a NATS server with one stream and nothing
// of Perdure in between: the client is nats.go.
func Measure(ctx context.Context, cfg Config) (l Limits, err error) {
	if cfg.For == 0 {
		cfg.For = time.Second
	}
	if cfg.Writers == 0 {
		cfg.Writers = 64
	}
	if l.Fsync, err = fsyncs(ctx, cfg); err != nil {
		return l, fmt.Errorf("measure the disk under %s: %w", cfg.Dir, err)
	}
	bare, err := start(ctx, cfg)
	if err != nil {
		return l, fmt.Errorf("start a bare server in %s: %w", cfg.Dir, err)
	}
	defer bare.stop()
	if _, err = bare.publish(ctx, cfg.For/10, 1, "warm"); err != nil {
		return l, fmt.Errorf("measure the bare server: %w", err)
	}
	one, err := bare.publish(ctx, cfg.For, 1, "one")
	if err != nil {
		return l, fmt.Errorf("measure the bare server's publish: %w", err)
	}
	many, err := bare.publish(ctx, cfg.For, cfg.Writers, "many")
	if err != nil {
		return l, fmt.Errorf("measure the bare server's rate: %w", err)
	}
	reads, err := bare.read(ctx, cfg.For, "bare.one.0")
	if err != nil {
		return l, fmt.Errorf("measure the bare server's reads: %w", err)
	}
	l.Publish, l.Rate, l.Read = TimingOf(one), float64(len(many))/cfg.For.Seconds(), TimingOf(reads)
	return l, nil
}

// fsyncs times appends of 4 KiB, each with its fsync.
func fsyncs(ctx context.Context, cfg Config) (_ Timing, err error) {
	f, err := os.Create(filepath.Join(cfg.Dir, "fsync"))
	if err != nil {
		return Timing{}, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 4<<10)
	var took []time.Duration
	for end := time.Now().Add(cfg.For); time.Now().Before(end) && ctx.Err() == nil; {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return Timing{}, err
		}
		if err := f.Sync(); err != nil {
			return Timing{}, err
		}
		took = append(took, time.Since(began))
	}
	return TimingOf(took), ctx.Err()
}

// A bare is a server with one stream, and a connection to it in this process.
type bare struct {
	srv *server.Server
	nc  *nats.Conn
	js  jetstream.JetStream
	all jetstream.Stream
}

func start(ctx context.Context, cfg Config) (_ *bare, err error) {
	o := &server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: cfg.Dir, DisableJetStreamBanner: true}
	if cfg.Durability == broker.Disk {
		o.SyncAlways = true
	} else {
		o.SyncInterval = time.Second // as the broker's
	}
	b := &bare{}
	defer func() {
		if err != nil {
			b.stop()
		}
	}()
	if b.srv, err = server.NewServer(o); err != nil {
		return nil, err
	}
	b.srv.Start()
	if !b.srv.ReadyForConnections(readyWait) {
		return nil, fmt.Errorf("it was not ready after %s", readyWait)
	}
	if b.nc, err = nats.Connect("", nats.InProcessServer(b.srv)); err != nil {
		return nil, err
	}
	if b.js, err = jetstream.New(b.nc); err != nil {
		return nil, err
	}
	b.all, err = b.js.CreateStream(ctx, jetstream.StreamConfig{Name: "BARE", Subjects: []string{"bare.>"}, Storage: jetstream.FileStorage, AllowDirect: true})
	return b, err
}

func (b *bare) stop() {
	if b.nc != nil {
		b.nc.Close()
	}
	if b.srv != nil {
		b.srv.Shutdown()
		b.srv.WaitForShutdown()
	}
}

// publish publishes for d with n writers, each on a subject of its own and
// conditioned on its last, and returns how long each publish took.
func (b *bare) publish(ctx context.Context, d time.Duration, n int, prefix string) ([]time.Duration, error) {
	var (
		wg   sync.WaitGroup
		took = make([][]time.Duration, n)
		errs = make([]error, n)
		stop atomic.Bool
	)
	timer := time.AfterFunc(d, func() { stop.Store(true) })
	defer timer.Stop()
	for i := range n {
		wg.Go(func() {
			body, subject, last := make([]byte, payload), fmt.Sprintf("bare.%s.%d", prefix, i), uint64(0)
			for !stop.Load() {
				began := time.Now()
				a, err := b.js.Publish(ctx, subject, body, jetstream.WithExpectLastSequencePerSubject(last))
				if err != nil {
					errs[i] = err
					return
				}
				took[i], last = append(took[i], time.Since(began)), a.Sequence
			}
		})
	}
	wg.Wait()
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	return all, errors.Join(errs...)
}

// read reads the last message of a subject for d, again and again, and returns
// how long each took.
func (b *bare) read(ctx context.Context, d time.Duration, subject string) (took []time.Duration, err error) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		began := time.Now()
		if _, err := b.all.GetLastMsgForSubject(ctx, subject); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}
