package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

var quiet = slog.New(slog.DiscardHandler)

// everything is a backup's configuration for a namespace without nodes.
var everything = broker.BackupConfig{
	Node: func(string) (string, bool) { return "", false },
	Keep: func(_ string, value []byte) ([]byte, error) { return value, nil },
}

// A furnished namespace has something of each sort.
type furnished struct {
	*raw
	id   schemas.Identity
	head uint64
}

func furnish(r *raw) *furnished {
	r.t.Helper()
	f := &furnished{raw: r, id: identity("wf", "Zürich 1.2")}
	_, _, f.head = r.ended(f.id)
	r.moves(f.id, f.head, 1)
	for i := range 20 {
		id := identity("stock", fmt.Sprint(i))
		at := r.appended(id.Run("1"), 0, start("w", uint64(i)))
		r.appended(id.Run("1"), at, record("w", uint64(i+100)))
		rev := uint64(0)
		for n := range 3 {
			out, err := r.b.State().Put(r.ctx, id, rev, state("1", uint64(n+1), strings.Repeat("x", i)))
			must(r.t, err)
			rev = out.Seq
		}
		r.sent("local", id, task("waits"))
	}
	must(r.t, brokertest.Foreign(r.ctx, r.b, f.id, nil, `{"without": "an ID"}`))
	must(r.t, brokertest.Foreign(r.ctx, r.b, f.id, map[string]string{"Perdure-Attr-city": "Zürich"}, `{}`))
	r.sent("local", f.id, task("gone"))
	feed := r.take(r.n.Partition(f.id), 1)
	d := r.next(feed)
	for d.Envelope.GetId() != "gone" {
		d = r.next(feed)
	}
	must(r.t, feed.Ack(r.ctx, d))
	must(r.t, feed.Release(r.ctx))
	must(r.t, r.b.Schedules().Set(r.ctx, f.id, broker.TimerID("open", "later"), time.Now().Add(time.Hour), wake("open", "later")))
	blob := make([]byte, 600_000)
	rand.NewChaCha8([32]byte{}).Read(blob)
	_, err := r.b.Blobs().Put(r.ctx, f.id.Run("open"), "input", blob)
	must(r.t, err)
	d = r.read(r.n.TaskSubject("local", f.id), `{"a":`)
	must(r.t, r.b.Inbox().Dead(r.ctx, d, "invalid", "because"))
	must(r.t, r.b.Archive().Put(r.ctx, schemas.Stored{Ref: f.id.Run("old"), Seq: 1, Time: time.Now(), Entry: record("w", 1)}, time.Hour))
	_, err = r.b.Leases().Put(r.ctx, "build.default.wf", []byte("of a kind"), 0, 0)
	must(r.t, err)
	return f
}

// A dump is all that a namespace's streams have, by stream.
func (r *raw) dump() map[string][]string {
	r.t.Helper()
	all := map[string][]string{}
	for name := range r.js.StreamNames(r.ctx).Name() {
		if strings.HasSuffix(name, "_cluster") || !strings.Contains(name, r.n.Namespace()+"_") {
			continue
		}
		s, err := r.js.Stream(r.ctx, name)
		must(r.t, err)
		info, err := s.Info(r.ctx)
		must(r.t, err)
		last := info.State.LastSeq
		if name == r.n.ArchiveStream() { // in which a node at disk proves something
			last = 0
		}
		lines := []string{fmt.Sprint("last ", last, " messages ", info.State.Msgs, " ", info.Config.Subjects)}
		for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq; seq++ {
			m, err := s.GetMsg(r.ctx, seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			must(r.t, err)
			lines = append(lines, fmt.Sprint(m.Sequence, m.Time.UnixNano(), m.Subject, m.Header, len(m.Data), string(m.Data[:min(len(m.Data), 200)])))
		}
		all[name] = lines
	}
	return all
}

func (r *raw) backup() []byte {
	r.t.Helper()
	var file bytes.Buffer
	made, err := r.b.Backup(r.ctx, &file, everything)
	must(r.t, err)
	r.t.Logf("%+v, %d bytes", made, file.Len())
	return file.Bytes()
}

func restored(t *testing.T, backup []byte, with ...func(*broker.Config)) {
	t.Helper()
	cfg := broker.Config{Logger: quiet}
	for _, w := range with {
		w(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	_, err := broker.Restore(ctx, cfg, bytes.NewReader(backup))
	must(t, err)
}

// isIn holds that what is restored is what was there, each message with its sequence
// and its time, and goes on from there.
func (f *furnished) isIn(t *testing.T, cfg func(*broker.Config), want map[string][]string) {
	t.Helper()
	open := func(with ...brokertest.Option) *raw {
		return newRaw(t, brokertest.Open(t, append(with, cfg)...))
	}
	look := open()
	if got := look.dump(); !cmp.Equal(want, got) {
		t.Fatalf("the restored namespace (-before +after):\n%s", cmp.Diff(want, got))
	}
	must(t, look.b.Close())
	r := open(kinds)
	value, _, ok, err := r.b.Leases().Get(r.ctx, "build.default.wf")
	if string(value) != "of a kind" || !ok || err != nil {
		t.Errorf("the key of a build is %q, %v, %v", value, ok, err)
	}
	waiting := func(r *raw) (ids []string) {
		all, err := r.b.Inbox().Pending(r.ctx, f.id, 0)
		must(t, err)
		for _, d := range all {
			ids = append(ids, fmt.Sprint(d.Seq, d.Envelope.GetId(), d.NoID))
		}
		return ids
	}
	if diff := cmp.Diff(waiting(f.raw), waiting(r)); diff != "" {
		t.Errorf("what waits (-before +after):\n%s", diff)
	}
	if next := r.appended(f.id.Run("open"), f.head, entry("new", 1)); next <= f.head {
		t.Errorf("the next entry is %d, behind %d", next, f.head)
	}
	must(t, r.b.Schedules().Set(r.ctx, f.id, broker.TimerID("open", "now"), time.Now(), wake("open", "now")))
	feed := r.take(r.n.Partition(f.id), 1)
	for d := r.next(feed); d.Timer == ""; d = r.next(feed) {
		must(t, feed.Ack(r.ctx, d))
	}
	if diff := cmp.Diff([]string{broker.TimerID("open", "later")}, r.timers(f.id)); diff != "" {
		t.Errorf("timers (-want +got):\n%s", diff)
	}
}

func inDir(dir string, d broker.Durability) func(*broker.Config) {
	return func(c *broker.Config) { c.Dir, c.Durability = dir, d }
}

func TestBackup_FromOneServerToAnother(t *testing.T) {
	t.Parallel()
	f := furnish(embedded(t))
	want, file := f.dump(), f.backup()
	for _, d := range []broker.Durability{broker.Process, broker.Disk} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			in := inDir(t.TempDir(), d)
			restored(t, file, in)
			f := &furnished{newRaw(t, f.b), f.id, f.head}
			f.isIn(t, in, want)
		})
	}
}

// testClusterBackup restores onto a cluster and from it.
func testClusterBackup(t *testing.T, g *brokertest.Group) {
	const ns = "restored" // the cluster has other tests' perdure
	f := furnish(embedded(t, func(c *broker.Config) { c.Namespace = ns }))
	want := f.dump()
	on := func(c *broker.Config) { c.Dir, c.URL, c.Durability, c.Namespace = "", g.URL(), broker.Quorum, ns }
	restored(t, f.backup(), on)
	r := newRaw(t, brokertest.Connect(t, g.URL(), on))
	back := r.backup()
	f.isIn(t, on, want)
	dir := t.TempDir()
	in := func(c *broker.Config) { c.Dir, c.Durability, c.Namespace = dir, broker.Process, ns }
	restored(t, back, in)
	if diff := cmp.Diff(want, newRaw(t, brokertest.Open(t, in)).dump()); diff != "" {
		t.Errorf("restored from the cluster (-before +after):\n%s", diff)
	}

	// A server has no last message of all subjects where that was removed.
	var without []string
	for name := range r.js.StreamNames(r.ctx).Name() {
		if strings.HasSuffix(name, "_cluster") || !strings.Contains(name, ns+"_") {
			continue
		}
		s, err := r.js.Stream(r.ctx, name)
		must(t, err)
		info := s.CachedInfo()
		if info.Config.DenyDelete {
			continue
		}
		if err := s.DeleteMsg(r.ctx, info.State.LastSeq); err == nil {
			without = append(without, name)
		}
	}
	if len(without) < 4 {
		t.Errorf("only of %v the last message could be removed", without)
	}
	want, dir = r.dump(), t.TempDir()
	restored(t, r.backup(), in)
	if diff := cmp.Diff(want, newRaw(t, brokertest.Open(t, in)).dump()); diff != "" {
		t.Errorf("restored without the last message of each stream (-before +after):\n%s", diff)
	}
}

// plain returns what is compressed in a backup.
func plain(t *testing.T, file []byte) []byte {
	t.Helper()
	_, rest, _ := bytes.Cut(file, []byte("\n"))
	all, err := io.ReadAll(s2.NewReader(bytes.NewReader(rest)))
	must(t, err)
	return all
}

// A backup that is damaged or not whole is refused, wherever it is cut or changed, and
// what was restored of it is not opened; a whole one is restored there after that.
func TestBackup_DamagedIsRefused(t *testing.T) {
	t.Parallel()
	file := furnish(embedded(t)).backup()
	if _, err := broker.CheckBackup(bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	step := max(len(file)/500, 1)
	for i := 0; i < len(file); i += step {
		if _, err := broker.CheckBackup(bytes.NewReader(file[:i])); !errors.Is(err, broker.ErrBackup) {
			t.Fatalf("cut at %d of %d: %v", i, len(file), err)
		}
		changed := bytes.Clone(file)
		changed[i] ^= 0x20
		// Compressed bytes may be others and say the same.
		if _, err := broker.CheckBackup(bytes.NewReader(changed)); !errors.Is(err, broker.ErrBackup) && !bytes.Equal(plain(t, file), plain(t, changed)) {
			t.Fatalf("changed at %d of %d: %v", i, len(file), err)
		}
	}
	if _, err := broker.CheckBackup(io.MultiReader(bytes.NewReader(file), strings.NewReader("x"))); !errors.Is(err, broker.ErrBackup) {
		t.Errorf("with more behind it: %v", err)
	}
	in := inDir(t.TempDir(), broker.Process)
	cfg := broker.Config{Logger: quiet}
	in(&cfg)
	_, err := broker.Restore(t.Context(), cfg, bytes.NewReader(file[:len(file)-len(file)/3]))
	if !errors.Is(err, broker.ErrBackup) {
		t.Fatalf("restore two thirds: %v", err)
	}
	mentions(t, err, "ends too early", "not complete, and no node opens it")
	mentions(t, openFails(t, cfg, broker.ErrIncompatible), "is being restored", "restore the backup again")
	restored(t, file, in)
	r := newRaw(t, brokertest.Open(t, in))
	if s, _, err := r.b.State().Get(r.ctx, identity("stock", "1")); err != nil || s.GetSequence() != 3 {
		t.Errorf("the state is %v, %v", s, err)
	}
}

// A restore that begins while another one is at work takes the namespace over: the
// first one does not let nodes in to what the second has removed, or half restored.
func TestRestore_TwoAtOnce(t *testing.T) {
	t.Parallel()
	file := furnish(embedded(t)).backup()
	to := brokertest.Open(t, func(c *broker.Config) { c.Namespace, c.Listen = "host", "127.0.0.1:0" })
	cfg := broker.Config{URL: to.ClientURL(), Logger: quiet}
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	var between error
	first := &pausedReader{r: bytes.NewReader(file), at: len(file) - 1, then: func() {
		// The second begins, and fails half-way.
		_, between = broker.Restore(ctx, cfg, bytes.NewReader(file[:len(file)-len(file)/3]))
	}}
	_, err := broker.Restore(ctx, cfg, first)
	if !errors.Is(between, broker.ErrBackup) {
		t.Fatalf("the second restore: %v", between)
	}
	if !errors.Is(err, broker.ErrNotEmpty) {
		t.Errorf("the first restore, of what the second has half restored: %v", err)
	}
	cfg.Durability = broker.Process
	openFails(t, cfg, broker.ErrIncompatible)
	if _, err := broker.Restore(ctx, cfg, bytes.NewReader(file)); err != nil {
		t.Errorf("restore once more: %v", err)
	}
}

// A restore that was killed between the making of the bucket and its first record is
// begun anew, and so is one that has stored keys which are not in the backup.
func TestRestore_BeginsAnew(t *testing.T) {
	t.Parallel()
	file := furnish(embedded(t)).backup()
	for _, marked := range []bool{false, true} {
		to := brokertest.Open(t, func(c *broker.Config) { c.Namespace, c.Listen = "host", "127.0.0.1:0" })
		on := func(c *broker.Config) { c.Dir, c.URL, c.Durability = "", to.ClientURL(), broker.Process }
		cfg := broker.Config{Logger: quiet}
		on(&cfg)
		ctx, cancel := context.WithTimeout(t.Context(), testWait)
		defer cancel()
		js, err := jetstream.New(to.Conn())
		must(t, err)
		if marked {
			if _, err := broker.Restore(ctx, cfg, bytes.NewReader(file[:len(file)-len(file)/3])); !errors.Is(err, broker.ErrBackup) {
				t.Fatal(err)
			}
		} else {
			_, err = js.CreateStream(ctx, jetstream.StreamConfig{
				Name: "KV_perdure_cluster", Subjects: []string{"$KV.perdure_cluster.>"}, MaxMsgsPerSubject: 1,
				AllowDirect: true, AllowRollup: true, DenyDelete: true, AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Minute, Discard: jetstream.DiscardNew,
			})
			must(t, err)
		}
		_, err = js.Publish(ctx, "$KV.perdure_cluster.build.default.stray", []byte("left"))
		must(t, err)
		_, err = broker.Restore(ctx, cfg, bytes.NewReader(file))
		must(t, err)
		r := newRaw(t, brokertest.Connect(t, to.ClientURL(), on))
		if value, _, ok, err := r.b.Leases().Get(r.ctx, "build.default.stray"); ok || err != nil {
			t.Errorf("marked before %v: a key that was left is %q, %v, %v", marked, value, ok, err)
		}
	}
}

// A pausedReader does something before it reads what is at a position.
type pausedReader struct {
	r    io.Reader
	n    int
	at   int
	then func()
}

func (p *pausedReader) Read(b []byte) (int, error) {
	if p.n >= p.at && p.then != nil {
		p.then()
		p.then = nil
	}
	if p.n < p.at {
		b = b[:min(len(b), p.at-p.n)]
	}
	n, err := p.r.Read(b)
	p.n += n
	return n, err
}

// What does not fit is refused, and says why.
func TestBackup_WhatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	source := embedded(t)
	file := source.backup()
	fails := func(file []byte, want error, with func(*broker.Config), words ...string) {
		t.Helper()
		cfg := broker.Config{Dir: t.TempDir(), Durability: broker.Process, Logger: quiet}
		with(&cfg)
		_, err := broker.Restore(t.Context(), cfg, bytes.NewReader(file))
		if !errors.Is(err, want) {
			t.Errorf("restore: %v, want %v", err, want)
		}
		mentions(t, err, words...)
	}
	asItIs := func(*broker.Config) {}
	fails([]byte("a picture"), broker.ErrBackup, asItIs, "does not begin with")
	fails(bytes.Replace(file, []byte("backup 1"), []byte("backup 2"), 1), broker.ErrBackup, asItIs, `format is "2"`, "knows 1")
	fails(file, broker.ErrBackup, func(c *broker.Config) { c.Namespace = "other" }, "of namespace perdure", "other is asked for")
	fails(file, broker.ErrPartitions, func(c *broker.Config) { c.Partitions = 7 }, "has 64", "7 are asked for")
	fails(file, broker.ErrNotEmpty, func(c *broker.Config) {
		b := brokertest.Open(t, func(o *broker.Config) { o.Dir = c.Dir })
		must(t, b.Close())
	}, "no namespace perdure")
}

// Whatever changes the journals while they are read, or acknowledges a message, makes
// a backup none, whoever does it; what is sent meanwhile does not.
func TestBackup_WhatChangesMeanwhileIsSeen(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"perdure_TIMERS_default", "perdure_RUNS", "perdure_INBOX_default", "perdure_BLOBS", ""} {
		t.Run("before "+stream, func(t *testing.T) {
			t.Parallel()
			r := embedded(t)
			id := identity("wf", "a")
			other := identity("stock", "b")
			r.sent("local", id, task("1"))
			head := r.appended(id.Run("1"), 0, start("w", 1))
			feed := r.take(r.n.Partition(id), 1)
			d := r.next(feed)
			taken := func(meanwhile func()) error {
				cfg := everything
				cfg.At = func(s string) {
					if s == stream {
						meanwhile()
					}
				}
				_, err := r.b.Backup(r.ctx, io.Discard, cfg)
				return err
			}
			must(t, taken(func() {
				r.sent("local", other, task("2"))
				must(t, r.b.Schedules().Set(r.ctx, id, broker.TimerID("1", "1"), time.Now().Add(time.Hour), wake("1", "1")))
			}))
			appends := taken(func() { head = r.appended(id.Run("1"), head, entry("w", 2)) })
			ends := taken(func() { head = r.appended(id.Run("1"), head, record("w", 3)) })
			removes := taken(func() { must(t, r.b.Journal().Delete(r.ctx, head)) })
			acknowledges := taken(func() { must(t, feed.Ack(r.ctx, d)) })
			for what, err := range map[string]error{"append": appends, "end": ends, "remove": removes, "acknowledge": acknowledges} {
				if !errors.Is(err, broker.ErrUnsettled) {
					t.Errorf("a backup during which something %ss: %v", what, err)
				}
			}
		})
	}
}

// A client that stores a large payload again while payloads are read does not make it
// missing: the task that names it was accepted before.
func TestBackup_HasPayloadsThatAreStoredAgain(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	run := identity("wf", "a").Run("1")
	blob := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{}).Read(blob)
	put := func() *schemas.Blob {
		ref, err := r.b.Blobs().Put(r.ctx, run, "input", blob)
		must(t, err)
		return ref
	}
	ref := put()
	cfg := everything
	cfg.At = func(stream string) {
		if stream == r.n.BlobsStream() {
			put()
		}
	}
	var file bytes.Buffer
	_, err := r.b.Backup(r.ctx, &file, cfg)
	must(t, err)
	in := inDir(t.TempDir(), broker.Process)
	restored(t, file.Bytes(), in)
	got, err := newRaw(t, brokertest.Open(t, in)).b.Blobs().Get(r.ctx, ref)
	if err != nil || !bytes.Equal(got, blob) {
		t.Errorf("the payload has %d bytes, %v; want %d", len(got), err, len(blob))
	}
}

// node makes the broker that of a node of this name, which holds can reach.
func (r *raw) node(name string) (cfg broker.BackupConfig) {
	r.t.Helper()
	stop, err := r.b.ServeHolds(r.ctx, name)
	must(r.t, err)
	r.t.Cleanup(stop)
	_, err = r.b.Leases().Put(r.ctx, "member.default."+name, []byte(name), 0, time.Minute)
	must(r.t, err)
	cfg = everything
	cfg.Node = func(key string) (string, bool) { return strings.CutPrefix(key, "member.default.") }
	return cfg
}

// While a backup is taken nothing that a node wants to write is written, but for its
// lease; behind it everything is.
func TestBackup_NodesStandStill(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	cfg := r.node("a")
	id := identity("wf", "a")
	r.sent("local", id, task("1"))
	feed := r.take(r.n.Partition(id), 1)
	d := r.next(feed)
	must(t, r.b.Schedules().Set(r.ctx, id, broker.TimerID("1", "1"), time.Now().Add(time.Hour), wake("1", "1")))
	writes := map[string]func() error{
		"append": func() error { _, err := r.b.Journal().Append(r.ctx, id.Run("1"), 0, start("w", 1)); return err },
		"state":  func() error { _, err := r.b.State().Put(r.ctx, id, 0, state("1", 1, "x")); return err },
		"send":   func() error { _, err := r.b.Inbox().Publish(r.ctx, "local", id, task("2")); return err },
		"ack":    func() error { return feed.Ack(r.ctx, d) },
		"cancel": func() error { return r.b.Schedules().Cancel(r.ctx, id, "") },
		"delete": func() error { return r.b.Journal().Delete(r.ctx, 1000) },
	}
	done := make(chan error, len(writes))
	cfg.At = func(stream string) {
		switch stream {
		case "perdure_TIMERS_default":
			for _, w := range writes {
				go func() { done <- w() }()
			}
		case "":
			_, err := r.b.Leases().Put(r.ctx, "member.default.b", []byte("b"), 0, time.Minute)
			must(t, err)
			select {
			case err := <-done:
				t.Errorf("something was written while the node stands still: %v", err)
			default:
			}
		}
	}
	made, err := r.b.Backup(r.ctx, io.Discard, cfg)
	if err != nil || made.Nodes != 1 {
		t.Fatalf("%+v, %v", made, err)
	}
	for range writes {
		must(t, <-done)
	}
}

// A backup that takes too long is given up, and so is one whose nodes do not stand
// still, or go on by themselves; they go on in any case.
func TestBackup_NodesDoNotStandStillForEver(t *testing.T) {
	t.Parallel()
	r := embedded(t, func(c *broker.Config) { c.Listen = "127.0.0.1:0" })
	cfg := r.node("a")
	gone := func(words ...string) {
		t.Helper()
		_, err := r.b.Backup(r.ctx, io.Discard, cfg)
		if !errors.Is(err, broker.ErrUnsettled) {
			t.Errorf("%v, want it unsettled", err)
		}
		mentions(t, err, words...)
	}
	cfg.Pause = time.Millisecond
	stays := make(chan struct{})
	cfg.At = func(string) { <-stays }
	time.AfterFunc(50*time.Millisecond, func() { close(stays) })
	gone("nodes have stood still for 1ms", "allow more")
	r.sent("local", identity("wf", "a"), task("1"))
	cfg.Pause, cfg.At = 0, nil
	// One that lives, and does not know of it.
	stop, err := r.b.Answer(r.ctx, "old", func() []byte { return nil })
	must(t, err)
	_, err = r.b.Leases().Put(r.ctx, "member.default.old", []byte("old"), 0, time.Minute)
	must(t, err)
	gone("node old lives, and does not know backups")
	r.sent("local", identity("wf", "a"), task("2"))
	stop() // one that is dead does stand still
	if made, err := r.b.Backup(r.ctx, io.Discard, cfg); err != nil || made.Nodes != 2 {
		t.Errorf("%+v, %v", made, err)
	}
	// Another backup is taken by another process, which dies in the middle of it.
	other := brokertest.Connect(t, r.b.ClientURL(), func(c *broker.Config) { c.ClientOnly = true })
	began, dies := make(chan struct{}), make(chan struct{})
	theirs := cfg
	theirs.At = func(string) { close(began); <-dies }
	ended := make(chan error)
	go func() {
		_, err := other.Backup(r.ctx, io.Discard, theirs)
		ended <- err
	}()
	<-began
	gone("another backup is being taken")
	other.Conn().Close()
	r.sent("local", identity("wf", "a"), task("3"))
	close(dies)
	if err := <-ended; err == nil {
		t.Error("a backup without a connection has ended well")
	}
}
