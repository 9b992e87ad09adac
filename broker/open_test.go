package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// openFails opens what must not open, and returns the error.
func openFails(t *testing.T, cfg broker.Config, want error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	b, err := broker.Open(ctx, cfg)
	if err == nil {
		_ = b.Close()
		t.Fatalf("open succeeded, want %v", want)
	}
	if !errors.Is(err, want) {
		t.Fatalf("open: %v; want %v", err, want)
	}
	return err
}

func mentions(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
}

func TestOpen_SecondProcessInTheSameDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startChild(t, dir, roleHold)
	err := openFails(t, broker.Config{Dir: dir}, broker.ErrDirInUse)
	mentions(t, err, dir, strconv.Itoa(p.cmd.Process.Pid), "stop that process")
	p.kill()
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	b, err := broker.Open(ctx, broker.Config{Dir: dir}) // the lock went with the process
	must(t, err)
	err = openFails(t, broker.Config{Dir: dir}, broker.ErrDirInUse)
	mentions(t, err, strconv.Itoa(os.Getpid()))
	must(t, b.Close())
	b, err = broker.Open(ctx, broker.Config{Dir: dir})
	must(t, err)
	must(t, b.Close())
	must(t, b.Close())
}

func TestOpen_KilledProcessLosesNoAcknowledgedEntry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startChild(t, dir, roleAppend)
	var acknowledged []string
	for range 100 {
		acknowledged = append(acknowledged, p.line())
	}
	acknowledged = append(acknowledged, p.kill()...)
	last, err := strconv.ParseUint(acknowledged[len(acknowledged)-1], 10, 64)
	must(t, err)
	b := brokertest.Open(t, func(c *broker.Config) { c.Dir = dir })
	entries, err := b.Journal().Load(t.Context(), identity("wf", "k").Run("1"))
	must(t, err)
	// One entry may be stored whose acknowledgement was not printed.
	if n := uint64(len(entries)); n < last || n > last+1 {
		t.Fatalf("%d entries are there, and %d were acknowledged", n, last)
	}
	for i, e := range entries {
		if e.Entry.Counter != uint64(i+1) {
			t.Fatalf("entry %d has counter %d", i, e.Entry.Counter)
		}
	}
}

func TestOpen_ForeignDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("x"), 0o600))
	err := openFails(t, broker.Config{Dir: dir}, broker.ErrDirForeign)
	mentions(t, err, dir, "thesis.txt", "empty or a new directory")
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("the foreign directory was changed: %v", entries)
	}
}

func TestOpen_UnusableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		mentions(t, openFails(t, broker.Config{Dir: dir}, broker.ErrDirUnusable), dir)
	}
}

func TestOpen_PortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	dir := t.TempDir()
	err = openFails(t, broker.Config{Dir: dir, Listen: l.Addr().String()}, broker.ErrPortInUse)
	mentions(t, err, l.Addr().String(), "another port")
	b := brokertest.Open(t, func(c *broker.Config) { c.Dir, c.Listen = dir, "127.0.0.1:0" }) // the directory is free
	nc, err := nats.Connect(b.ClientURL())
	must(t, err)
	nc.Close()
}

func TestOpen_InProcessOnlyOpensNoPort(t *testing.T) {
	t.Parallel()
	if url := brokertest.Open(t).ClientURL(); url != "" {
		t.Errorf("the broker is reached at %s, want nowhere", url)
	}
}

func TestOpen_NoJetStream(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t, func(c *brokertest.ServerConfig) { c.NoJetStream = true })
	mentions(t, openFails(t, broker.Config{URL: srv.URL()}, broker.ErrNoJetStream), srv.URL(), "enable it")
}

func TestOpen_NoServer(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	srv.Stop()
	mentions(t, openFails(t, broker.Config{URL: srv.URL()}, nats.ErrNoServers), srv.URL(), "check the URL")
}

// A server that is killed as it takes a connection, or a proxy with nobody behind it,
// is no server that refuses: who starts a node is to try again.
func TestOpen_AServerThatSaysNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_ = c.Close()
		}
	}()
	mentions(t, openFails(t, broker.Config{URL: "nats://" + l.Addr().String()}, broker.ErrUnreachable), "check the URL")
}

func TestOpen_ClientOnlyCreatesNothing(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	client := broker.Config{URL: srv.URL(), ClientOnly: true}
	mentions(t, openFails(t, client, broker.ErrNoNamespace), "perdure", "start a node")
	node := brokertest.Connect(t, srv.URL(), kinds, func(c *broker.Config) { c.Partitions = 16 })
	b := brokertest.Connect(t, srv.URL(), func(c *broker.Config) { c.ClientOnly = true })
	if b.Partitions() != 16 || b.Namespace() != "perdure" || b.Embedded() || b.ClientURL() != srv.URL() {
		t.Errorf("the client sees %d partitions of %q (embedded %v) at %s", b.Partitions(), b.Namespace(), b.Embedded(), b.ClientURL())
	}
	if node.Created().IsZero() {
		t.Error("the node does not know when its inbox was created")
	}
}

func TestOpen_PartitionsNeverChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func(partitions uint32) *broker.Broker {
		ctx, cancel := context.WithTimeout(t.Context(), testWait)
		defer cancel()
		b, err := broker.Open(ctx, broker.Config{Dir: dir, Partitions: partitions})
		must(t, err)
		return b
	}
	must(t, open(16).Close())
	mentions(t, openFails(t, broker.Config{Dir: dir, Partitions: 64}, broker.ErrPartitions), "16", "64")
	b := open(0)
	if b.Partitions() != 16 {
		t.Errorf("the namespace has %d partitions, want the 16 it was made with", b.Partitions())
	}
	must(t, b.Close())
}

func TestOpen_IncompatibleStreams(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*jetstream.StreamConfig)
		says   string
	}{
		"a limit of age":      {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "loses acknowledged messages"},
		"a limit of bytes":    {func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, "loses acknowledged messages"},
		"other subjects":      {func(c *jetstream.StreamConfig) { c.Subjects = []string{"perdure.run.*"} }, "subjects"},
		"no roll-ups":         {func(c *jetstream.StreamConfig) { c.AllowRollup = false }, "roll-ups"},
		"memory":              {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "stored in"},
		"a work queue":        {func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, "retention"},
		"async persistence":   {func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "persist mode"},
		"one value a subject": {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, "messages a subject"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := brokertest.Open(t, func(c *broker.Config) { c.Namespace, c.Listen = "other", "127.0.0.1:0" })
			js, err := jetstream.New(server.Conn())
			must(t, err)
			sc := jetstream.StreamConfig{Name: "perdure_RUNS", Subjects: []string{"perdure.run.>"}, AllowRollup: true, AllowDirect: true}
			tt.change(&sc)
			_, err = js.CreateStream(t.Context(), sc)
			must(t, err)
			mentions(t, openFails(t, broker.Config{URL: server.ClientURL()}, broker.ErrIncompatible), "perdure_RUNS", tt.says)
		})
	}
}

// An inbox that allows roll-ups is not taken: any publisher could remove what
// others have waiting.
func TestOpen_InboxWithRollUpsIsRefused(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(*jetstream.StreamConfig){
		"roll-ups": func(c *jetstream.StreamConfig) { c.AllowRollup = true },
		"expire":   func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
	} {
		b := brokertest.Open(t, kinds, func(c *broker.Config) { c.Listen = "127.0.0.1:0" })
		js, err := jetstream.New(b.Conn())
		must(t, err)
		inbox, err := js.Stream(t.Context(), b.Names().InboxStream())
		must(t, err)
		sc := inbox.CachedInfo().Config
		change(&sc)
		_, err = js.UpdateStream(t.Context(), sc)
		must(t, err)
		mentions(t, openFails(t, broker.Config{URL: b.ClientURL(), Kinds: []schemas.Kind{"wf"}}, broker.ErrIncompatible), b.Names().InboxStream(), says)
	}
}

// A namespace whose inbox has the schedules of old is not opened: the server
// never takes them away from a stream.
func TestOpen_AnotherLayoutIsRefused(t *testing.T) {
	t.Parallel()
	server := brokertest.Open(t, func(c *broker.Config) { c.Listen = "127.0.0.1:0" })
	data, err := proto.Marshal(&schemas.Namespace{Version: 1, Partitions: 64})
	must(t, err)
	if _, err := brokertest.Request(t.Context(), server, "$KV.perdure_cluster.namespace", string(data)); err != nil {
		t.Fatal(err)
	}
	mentions(t, openFails(t, broker.Config{URL: server.ClientURL()}, broker.ErrIncompatible), "version 1")
}

func TestOpen_NodesAtOnce(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	var wg sync.WaitGroup
	brokers := make([]*broker.Broker, 6)
	for i := range brokers {
		wg.Go(func() {
			brokers[i] = brokertest.Connect(t, srv.URL(), brokertest.Kinds("shared", schemas.Kind(fmt.Sprint("own", i))))
		})
	}
	wg.Wait()
	for i, b := range brokers {
		for k := range brokers {
			id := identity(fmt.Sprint("own", k), "k")
			_, err := b.Inbox().Publish(t.Context(), schemas.LocalDomain, id, task(fmt.Sprint("from", i)))
			must(t, err)
		}
	}
}

func TestOpen_CallersConnection(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	connect := func(opts ...nats.Option) *nats.Conn {
		nc, err := nats.Connect(srv.URL(), opts...)
		must(t, err)
		t.Cleanup(nc.Close)
		return nc
	}
	mentions(t, openFails(t, broker.Config{Conn: connect()}, broker.ErrIncompatible), "ReconnectBufSize(-1)")
	mentions(t, openFails(t, broker.Config{Conn: connect(nats.ReconnectBufSize(-1))}, broker.ErrIncompatible), "MaxReconnects(-1)")
	nc := connect(nats.ReconnectBufSize(-1), nats.MaxReconnects(-1))
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	b, err := broker.Open(ctx, broker.Config{Conn: nc, Kinds: []schemas.Kind{"wf"}})
	must(t, err)
	_, err = b.Inbox().Publish(ctx, schemas.LocalDomain, identity("wf", "k"), task("1"))
	must(t, err)
	must(t, b.Close())
	if nc.IsClosed() {
		t.Error("the caller's connection was closed")
	}
	if _, err := b.Journal().Append(ctx, identity("wf", "k").Run("1"), 0, entry("w", 1)); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("append on the closed broker: %v, want ErrClosed", err)
	}
}

func TestConfig_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for says, cfg := range map[string]broker.Config{
		"namespace":                 {Dir: "d", Namespace: "a.b"},
		"pool":                      {Dir: "d", Pool: "a b"},
		"perdure.Dir":               {},
		"one or the other":          {Dir: "d", URL: "nats://x"},
		"set one":                   {URL: "nats://x", Conn: &nats.Conn{}},
		"HOST:PORT":                 {Dir: "d", Listen: "4222"},
		"1 to 5":                    {URL: "nats://x", Replicas: 6},
		"at least 3":                {URL: "nats://x", Durability: broker.Quorum, Replicas: 1},
		"perdure.Connect":           {Dir: "d", Durability: broker.Quorum},
		"Disk, Process":             {Dir: "d", Durability: 7},
		"too short":                 {Dir: "d", DuplicateWindow: time.Millisecond},
		"-1 is negative":            {Dir: "d", PayloadCap: -1},
		"-1 messages":               {Dir: "d", MaxWaiting: -1},
		"not of durability process": {Dir: "d", Durability: broker.Process, SyncAlways: true},
		"sync_interval":             {URL: "nats://x", SyncAlways: true},
	} {
		if b, err := broker.Open(t.Context(), cfg); err == nil {
			_ = b.Close()
			t.Errorf("%+v was opened; want an error that says %q", cfg, says)
		} else {
			mentions(t, err, says)
		}
	}
}

func TestDurability_ParseIsTheInverseOfString(t *testing.T) {
	t.Parallel()
	for _, d := range []broker.Durability{broker.Disk, broker.Process, broker.Quorum} {
		if got, err := broker.ParseDurability(d.String()); err != nil || got != d {
			t.Errorf("%v is read as %v, %v", d, got, err)
		}
	}
	if _, err := broker.ParseDurability("async"); err == nil {
		t.Error("async is taken for a durability")
	}
}

func TestClockSkew_IsSmallOnOneMachine(t *testing.T) {
	t.Parallel()
	skew, err := brokertest.Open(t).ClockSkew(t.Context())
	must(t, err)
	if skew.Abs() > 5*time.Second {
		t.Errorf("the skew is %v", skew)
	}
}
