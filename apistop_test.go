package perdure_test

import (
	"bytes"
	"context"
	"errors"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
)

var (
	ponderPut = durable.Declare[durable.None, durable.None]("ponder.put")
	pondered  = durable.DeclareQuery[durable.None, int]("ponder.pondered")
)

// A ponderer has a query that waits.
type ponderer struct {
	arrived chan struct{} // one for each query that waits
	open    chan struct{} // closed to let them go on
	after   func()        // what each does then
}

func newPonderer() *ponderer {
	return &ponderer{make(chan struct{}, 2*perdure.APIPlaces), make(chan struct{}), func() {}}
}

func (p *ponderer) kind() *durable.Kind {
	return actors.New(actors.Handlers[account]{
		actors.On(ponderPut, func(durable.Context, *account, durable.None) (durable.None, error) { return durable.None{}, nil }),
		actors.OnQuery(pondered, func(account, durable.None) (int, error) {
			p.arrived <- struct{}{}
			<-p.open
			p.after()
			return 1, nil
		}),
	})
}

// ask sends n queries, and returns when all of them wait.
func (p *ponderer) ask(t *testing.T, nc *nats.Conn, n int) (answers *nats.Subscription) {
	t.Helper()
	answers, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := nc.PublishRequest("perdure.api.actors.query", answers.Subject, []byte(ponderBody)); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		select {
		case <-p.arrived:
		case <-testContext(t).Done():
			t.Fatal("a query did not begin")
		}
	}
	return answers
}

const ponderBody = `{"actor":"ponder/k","query":"pondered"}`

// goroutines returns those that are in one of the functions.
func goroutines(of ...string) (found []string) {
	var all bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&all, 2)
	for g := range strings.SplitSeq(all.String(), "\n\n") {
		for _, f := range of {
			if strings.Contains(g, f) {
				found = append(found, g)
				break
			}
		}
	}
	return found
}

// A node that closes waits for the requests that it answers, and for its list of
// runs: NATS is there until the last has ended, and none is left. It is not
// parallel: it looks at every goroutine of the process.
func TestAPI_CloseWaitsForRequests(t *testing.T) {
	p := newPonderer()
	node, err := perdure.Open(testContext(t), perdure.Logger(silent), perdure.Dir(t.TempDir()), perdure.Listen("127.0.0.1:0"),
		perdure.WithDurability(perdure.Process), perdure.Host(p.kind()))
	if err != nil {
		t.Fatal(err)
	}
	var after atomic.Pointer[error]
	p.after = func() {
		err := node.Broker().Conn().FlushTimeout(10 * time.Second)
		after.Store(&err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	<-node.Ready()
	nc := plain(t, node)
	answered[struct{}](t, nc, "runs.list", `{}`)
	p.ask(t, nc, 1)
	stop()
	limit := testContext(t)
	for err = nil; !errors.Is(err, nats.ErrNoResponders); {
		// one that comes as the node stops may not be answered
		_, err = nc.Request("perdure.api.nodes.list", nil, time.Second)
		if err != nil && !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, nats.ErrTimeout) || limit.Err() != nil {
			t.Fatalf("while a request runs, the server that the node embeds: %v", errors.Join(err, limit.Err()))
		}
	}
	close(p.open)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	switch err := after.Load(); {
	case err == nil:
		t.Error("the node has closed, and a request still runs")
	case *err != nil:
		t.Errorf("the node closed under a request: %v", *err)
	}
	if left := goroutines("perdure.(*api)", "actors.(*Index)"); len(left) > 0 {
		t.Errorf("%d goroutines are left, the first:\n%s", len(left), left[0])
	}
}

// What is over the bound is refused at once, and served once there is a place.
func TestAPI_RequestsOverTheBoundAreRefused(t *testing.T) {
	t.Parallel()
	p := newPonderer()
	nc := plain(t, running(t, "", perdure.Host(p.kind())))
	answers := p.ask(t, nc, perdure.APIPlaces)
	if _, e := api[struct{}](t, nc, "actors.query", ponderBody); e.Code != "unavailable" || !strings.Contains(e.Message, "1024 queries") {
		t.Errorf("a query over the bound is %+v, want unavailable", e)
	}
	answered[struct{}](t, nc, "nodes.list", ``)
	close(p.open)
	for range perdure.APIPlaces {
		m, err := answers.NextMsgWithContext(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != `{"result":1}` {
			t.Fatalf("a request within the bound is answered by %s", m.Data)
		}
	}
	for end := time.Now().Add(testWait); ; { // each gives its place back after its answer
		_, e := api[struct{}](t, nc, "actors.query", ponderBody)
		if e.Code == "" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a request after the others have ended is %+v", e)
		}
	}
}

// TestAPI_UpdatesThatWaitHoldNobodyUp: while as many wait as can, a run is looked at,
// and told to go on.
func TestAPI_UpdatesThatWaitHoldNobodyUp(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(bundleKind(nil)))
	ctx, nc, c := testContext(t), plain(t, node), node.Client()
	run, err := perdure.Start(ctx, c, bundle.At("p"), "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(ctx, run.Ref(), perdure.Why{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run is paused", func() bool {
		info, err := c.Get(ctx, run.Ref())
		return err == nil && info.Status == "paused"
	})
	answers, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	for range perdure.APIPlaces + 1 {
		if err := nc.PublishRequest("perdure.api.runs.update", answers.Subject, []byte(`{"run":"bundle/p/p","update":"set_address","input":"y","id":"u"}`)); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := answers.NextMsgWithContext(ctx); err != nil || !strings.Contains(string(m.Data), "1024 updates already") {
		t.Fatalf("an update over the bound is answered by %s, %v", m.Data, err)
	}
	if info, err := c.Get(ctx, run.Ref()); err != nil || info.Status != "paused" {
		t.Errorf("the run is %+v, %v", info, err)
	}
	if err := c.Resume(ctx, run.Ref(), perdure.Why{}); err != nil {
		t.Error(err)
	}
	if m, err := answers.NextMsgWithContext(ctx); err != nil || !strings.Contains(string(m.Data), `"result":"x -\u003e y"`) {
		t.Errorf("an update that waited is answered by %s, %v", m.Data, err)
	}
}

// A node that cannot serve its API leaves the cluster: nothing waits for its lease
// to expire.
func TestRun_ANodeThatCannotServeItsAPILeaves(t *testing.T) {
	t.Parallel()
	server := brokertest.Server(t)
	node, err := perdure.Connect(testContext(t), server.URL(), perdure.Logger(silent), perdure.LeaseTTL(time.Minute), perdure.Host(greetKind()))
	if err != nil {
		t.Fatal(err)
	}
	node.SpoilAPI()
	if err := node.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "serve the API") {
		t.Fatalf("the node ended with %v", err)
	}
	client, err := perdure.Dial(testContext(t), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	nodes, err := actors.Nodes(testContext(t), client.Broker())
	if err != nil || len(nodes) > 0 {
		t.Errorf("the nodes are %+v, %v: want none", nodes, err)
	}
}
