package brokerbench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// unacknowledged is how many messages are on their way at once while the bare
// server is filled.
const unacknowledged = 4096

// Waits are what things that wait cost a bare server.
type Waits struct {
	Subject  float64       // bytes of memory for a message on a subject of its own
	Schedule float64       // bytes of memory for a scheduled message
	Restart  time.Duration // from the start of the server with all of them until it answers
	Late     Timing        // how much later than their time schedules become messages
}

// MeasureWaits fills a bare server with n messages on subjects of their own and n
// schedules that are not due for long, starts it again, and lets perSecond schedules
// fall due each second for cfg.For, or 5 s. Dir is removed.
func MeasureWaits(ctx context.Context, cfg Config, n, perSecond int) (w Waits, err error) {
	if cfg.For == 0 {
		cfg.For = 5 * time.Second
	}
	cfg.Dir = filepath.Join(cfg.Dir, "waits")
	defer func() { err = errors.Join(err, os.RemoveAll(cfg.Dir)) }()
	b, err := start(ctx, cfg)
	if err != nil {
		return w, fmt.Errorf("start a bare server in %s: %w", cfg.Dir, err)
	}
	defer func() { b.stop() }()
	// A schedule needs a stream that allows them.
	if _, err := b.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "WAITS", Subjects: []string{"wait.>", "due.>"}, Storage: jetstream.FileStorage, AllowDirect: true,
		AllowRollup: true, AllowMsgSchedules: true,
	}); err != nil {
		return w, fmt.Errorf("make a stream of schedules: %w", err)
	}
	body := make([]byte, payload)
	had := cfg.heap(ctx)
	if err := b.fill(ctx, n, func(i int) *nats.Msg {
		return &nats.Msg{Subject: "bare.run." + strconv.Itoa(i), Data: body}
	}); err != nil {
		return w, fmt.Errorf("fill the bare server: %w", err)
	}
	has := cfg.heap(ctx)
	w.Subject = (has - had) / float64(n)
	far := time.Now().Add(24 * time.Hour)
	if err := b.fill(ctx, n, func(i int) *nats.Msg { return scheduled("far."+strconv.Itoa(i), far, body) }); err != nil {
		return w, fmt.Errorf("fill the bare server with schedules: %w", err)
	}
	w.Schedule = (cfg.heap(ctx) - has) / float64(n)
	b.stop()
	began := time.Now()
	if b, err = start(ctx, cfg); err != nil {
		return w, fmt.Errorf("start the bare server again: %w", err)
	}
	w.Restart = time.Since(began)
	w.Late, err = b.late(ctx, int(cfg.For.Seconds()*float64(perSecond)), perSecond, cfg.For/2+w.Restart)
	return w, err
}

// MeasureInbox fills a work queue of a bare server, which has as many consumers as a
// node has partitions, with n messages on subjects of their own, and returns how many
// bytes of memory each takes. What it made in Dir is removed.
func MeasureInbox(ctx context.Context, cfg Config, n int) (bytes float64, err error) {
	cfg.Dir = filepath.Join(cfg.Dir, "inbox")
	defer func() { err = errors.Join(err, os.RemoveAll(cfg.Dir)) }()
	b, err := start(ctx, cfg)
	if err != nil {
		return 0, fmt.Errorf("start a bare server in %s: %w", cfg.Dir, err)
	}
	defer b.stop()
	const partitions = 64
	if _, err := b.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "INBOX", Subjects: []string{"task.*.*"}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Duplicates: 2 * time.Second,
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "task.*.*", Destination: "in.{{partition(64,1,2)}}.local.{{wildcard(1)}}.{{wildcard(2)}}"},
	}); err != nil {
		return 0, fmt.Errorf("make a work queue: %w", err)
	}
	for p := range partitions {
		if _, err := b.js.CreateConsumer(ctx, "INBOX", jetstream.ConsumerConfig{
			Durable: "c" + strconv.Itoa(p), FilterSubject: "in." + strconv.Itoa(p) + ".>", AckPolicy: jetstream.AckExplicitPolicy,
			MaxAckPending: -1, AckWait: 24 * time.Hour, MemoryStorage: true,
		}); err != nil {
			return 0, fmt.Errorf("make a consumer: %w", err)
		}
	}
	body := make([]byte, payload)
	had := cfg.heap(ctx)
	if err := b.fill(ctx, n, func(i int) *nats.Msg {
		id := strconv.Itoa(i)
		return &nats.Msg{Subject: "task.bench-flood.flood-" + id, Data: body, Header: nats.Header{"Nats-Msg-Id": {"local/bench-flood/flood-" + id + "/" + id}}}
	}); err != nil {
		return 0, fmt.Errorf("fill the bare work queue: %w", err)
	}
	return (cfg.heap(ctx) - had) / float64(n), nil
}

// scheduled is a message that is due at a time.
func scheduled(name string, at time.Time, body []byte) *nats.Msg {
	return &nats.Msg{Subject: "wait." + name, Data: body, Header: nats.Header{
		"Nats-Schedule":        {"@at " + at.UTC().Format(time.RFC3339Nano)},
		"Nats-Schedule-Target": {"due." + name},
	}}
}

// fill publishes n messages, many at once.
func (b *bare) fill(ctx context.Context, n int, msg func(i int) *nats.Msg) error {
	var waiting []jetstream.PubAckFuture
	for i := range n {
		f, err := b.js.PublishMsgAsync(msg(i))
		if err != nil {
			return err
		}
		if waiting = append(waiting, f); len(waiting) < unacknowledged/2 && i < n-1 {
			continue
		}
		for _, f := range waiting {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		waiting = waiting[:0]
	}
	return nil
}

// late lets n schedules fall due, perSecond each second, and returns how late each
// was. lead is how long it may take to store them.
func (b *bare) late(ctx context.Context, n, perSecond int, lead time.Duration) (Timing, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	came := make(chan time.Duration, n)
	consumer, err := b.js.OrderedConsumer(ctx, "WAITS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"due.late.*"}})
	if err != nil {
		return Timing{}, fmt.Errorf("read what falls due: %w", err)
	}
	reader, err := consumer.Consume(func(m jetstream.Msg) {
		if at, err := strconv.ParseInt(string(m.Data()), 10, 64); err == nil {
			came <- time.Since(time.Unix(0, at))
		}
	})
	if err != nil {
		return Timing{}, fmt.Errorf("read what falls due: %w", err)
	}
	defer reader.Stop()
	first := time.Now().Add(lead)
	if err := b.fill(ctx, n, func(i int) *nats.Msg {
		at := first.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		return scheduled("late."+strconv.Itoa(i), at, strconv.AppendInt(nil, at.UnixNano(), 10))
	}); err != nil {
		return Timing{}, fmt.Errorf("store schedules: %w", err)
	}
	took := make([]time.Duration, 0, n)
	for len(took) < n {
		select {
		case d := <-came:
			took = append(took, d)
		case <-ctx.Done():
			return Timing{}, fmt.Errorf("wait for schedules: %d of %d came: %w", len(took), n, ctx.Err())
		}
	}
	return TimingOf(took), nil
}

// heap is how many bytes of memory are in use once they are not getting fewer, for
// longer than the server keeps what it has written.
func (cfg Config) heap(ctx context.Context) float64 {
	quiet := min(cfg.For, 3*time.Second)
	t := time.NewTicker(quiet / 4)
	defer t.Stop()
	least := math.Inf(1)
	for since := time.Now(); time.Since(since) < quiet && ctx.Err() == nil; <-t.C {
		var m goruntime.MemStats
		goruntime.GC()
		goruntime.ReadMemStats(&m)
		if used := float64(m.HeapAlloc); used < 0.99*least {
			least, since = used, time.Now()
		}
	}
	return least
}
