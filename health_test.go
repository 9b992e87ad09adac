package perdure_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/config"
)

// freeAddress is one on which nobody listened a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// health asks what an orchestrator asks, and returns the status and the line.
func health(t *testing.T, addr, path string) (status int, line string) {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// awaitHealth waits until a node lives, and is ready or says why it is not.
func awaitHealth(t *testing.T, addr string, ready int, words string) {
	t.Helper()
	for end := time.Now().Add(testWait); ; {
		status, line := health(t, addr, "/readyz")
		if status == ready && strings.Contains(line, words) && strings.Count(line, "\n") == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("/readyz: %d %q, want %d %q", status, line, ready, words)
		}
	}
	if status, line := health(t, addr, "/livez"); status != 200 || line != "ok\n" {
		t.Errorf("/livez: %d %q, want 200", status, line)
	}
}

// A node is ready while it takes work, and has its connection and its lease; it lives for as
// long as it answers.
func TestHealth_SaysWhetherTheNodeTakesWork(t *testing.T) {
	t.Parallel()
	way := brokertest.Proxy(t, brokertest.Server(t).URL())
	addr := freeAddress(t)
	g := newGate()
	defer g.release()
	cfg := &config.Config{URL: way.URL(), Health: addr, Grace: testWait}
	node, err := perdure.OpenConfig(testContext(t), cfg, perdure.Host(g.kind()), perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	awaitHealth(t, addr, 503, "does not take work yet")
	if status, _ := health(t, addr, "/other"); status != 404 {
		t.Errorf("/other: %d", status)
	}

	second, err := perdure.Connect(testContext(t), way.URL(), perdure.Host(g.kind()), perdure.Logger(silent), perdure.Health(addr))
	if err == nil {
		_ = second.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "answer health at "+addr) || !strings.Contains(err.Error(), "set health to an address of this machine that is free") {
		t.Errorf("a second node at the address: %v", err)
	}

	ctx, stop := context.WithCancel(testContext(t))
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	<-node.Ready()
	awaitHealth(t, addr, 200, "ok")

	way.Deafen()
	awaitHealth(t, addr, 503, "the node has no lease")
	way.Cut()
	awaitHealth(t, addr, 503, "the node has no connection to NATS")
	way.Heal()
	awaitHealth(t, addr, 200, "ok")

	if _, err := perdure.Start(testContext(t), node.Client(), held.At("a"), "x"); err != nil {
		t.Fatal(err)
	}
	<-g.arrived
	stop()
	awaitHealth(t, addr, 503, "the node is leaving")
	g.release()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if status, line := health(t, addr, "/livez"); status != 0 {
		t.Errorf("after the end: %d %q", status, line)
	}
}

// A node that waits for the other servers of its cluster lives, and is not ready.
func TestHealth_OfANodeThatOpens(t *testing.T) {
	t.Parallel()
	addr, own := freeAddress(t), freeAddress(t)
	ctx, stop := context.WithCancel(testContext(t))
	ended := make(chan error, 1)
	go func() {
		node, err := perdure.Open(ctx, perdure.Dir(t.TempDir()), perdure.Host(greetKind()), perdure.Logger(silent), perdure.Health(addr),
			perdure.Cluster(perdure.ClusterConfig{Listen: own, Routes: []string{own, "127.0.0.1:1", "127.0.0.1:2"}}))
		if err == nil {
			_ = node.Close()
		}
		ended <- err
	}()
	awaitHealth(t, addr, 503, "the node is opening")
	stop()
	if err := <-ended; err == nil {
		t.Error("it opened without the others")
	}
	if status, line := health(t, addr, "/livez"); status != 0 {
		t.Errorf("after the end: %d %q", status, line)
	}
	if _, err := perdure.Open(t.Context(), perdure.Host(greetKind()), perdure.Health("8080")); err == nil || !strings.Contains(err.Error(), `"8080": use HOST:PORT`) {
		t.Errorf("no address: %v", err)
	}
}
