package perdure_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
)

// A provider is a server that speaks Chat Completions, and notes when it was asked.
type provider struct {
	*httptest.Server
	mu    sync.Mutex
	asked []time.Time
	reply func(n int, w http.ResponseWriter) // n from 1; nil: it answers
}

func newProvider(t *testing.T, reply func(n int, w http.ResponseWriter)) *provider {
	t.Helper()
	p := &provider{reply: reply}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, time.Now())
	n, reply := len(p.asked), p.reply
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if reply == nil {
		reply = answers
	}
	reply(n, w)
}

func (p *provider) becomes(reply func(int, http.ResponseWriter)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reply = reply
}

func (p *provider) requests() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *provider) model(name string) agents.Model {
	return agents.Unstreamed(openai.New(name, openai.BaseURL(p.URL+"/v1"), openai.APIKey("any"), openai.HTTPClient(p.Client())))
}

func answers(_ int, w http.ResponseWriter) {
	_ = json.NewEncoder(w).Encode(map[string]any{
		"id": "1", "object": "chat.completion", "model": "m",
		"choices": []any{map[string]any{"index": 0, "finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": "well"}}},
		"usage":   map[string]any{"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40},
	})
}

func isDown(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }

// twoNodes opens two nodes on one server, each with an agent of its own name: a run of the
// first agent is the first node's.
func twoNodes(t *testing.T, model func() agents.Option, opts ...perdure.Option) (c *perdure.Client, ask func(node, key string) (string, error), second func() *perdure.Node) {
	t.Helper()
	names := []durable.Name[string, string]{durable.Declare[string, string]("one"), durable.Declare[string, string]("two")}
	first := running(t, "", append(opts, perdure.Name("first"), perdure.Pool("one"), perdure.Host(agents.New(names[0], model())))...)
	second = func() *perdure.Node {
		return running(t, first.URL(), append(opts, perdure.Name("second"), perdure.Pool("two"), perdure.Host(agents.New(names[1], model())))...)
	}
	c = first.Client()
	return c, func(node, key string) (string, error) {
		name := names[slices.Index([]string{"one", "two"}, node)]
		return perdure.Call(testContext(t), c, name.At(key), "hello")
	}, second
}

// TestBreaker_IsThatOfAllNodes has one node find out that a model is down. The other, which
// starts afterwards, does not ask it; one request of one of the two finds out that it is well
// again, and both ask it.
func TestBreaker_IsThatOfAllNodes(t *testing.T) {
	t.Parallel()
	down, spare := newProvider(t, isDown), newProvider(t, nil)
	log := &lockedBuffer{}
	_, ask, second := twoNodes(t, func() agents.Option {
		return agents.UseModel(down.model("big"), agents.Retry(3, time.Millisecond),
			agents.Breaker(agents.Trip{Failures: 3, Pause: 3 * time.Second, Longest: 3 * time.Second}), agents.Fallback(spare.model("small")))
	}, perdure.Logger(slog.New(slog.NewTextHandler(log, nil))))
	if got, err := ask("one", "a"); err != nil || got != "well" {
		t.Fatalf("answer %q, %v", got, err)
	}
	if n := len(down.requests()); n != 3 {
		t.Fatalf("the model that is down was asked %d times, want 3", n)
	}
	opened := time.Now()
	second()
	if got, err := ask("two", "a"); err != nil || got != "well" {
		t.Fatalf("answer %q, %v", got, err)
	}
	if n := len(down.requests()); n != 3 && time.Since(opened) < 3*time.Second {
		t.Errorf("the node that started later asked the model: %d requests", n)
	}
	down.becomes(nil)
	<-time.After(time.Until(opened.Add(3100 * time.Millisecond)))
	// Ten runs at once, on both: one probes, and the others wait for it or ask the spare.
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			if got, err := ask([]string{"one", "two"}[i%2], fmt.Sprint("b", i)); err != nil || got != "well" {
				t.Errorf("answer %q, %v", got, err)
			}
		})
	}
	all.Wait()
	before := len(spare.requests())
	for _, node := range []string{"one", "two"} {
		if _, err := ask(node, "c"); err != nil {
			t.Error(err)
		}
	}
	if n := len(spare.requests()); n != before {
		t.Errorf("the spare model was asked although the first is well: %d requests, before %d", n, before)
	}
	if n := strings.Count(log.String(), "a breaker is open"); n != 2 {
		t.Errorf("the two nodes say %d times that the breaker is open, want once each:\n%s", n, log)
	}
}

// TestBreaker_ARunOfAnotherNodeWaitsAsleep has a model without a fallback: the run on a node
// that has not asked it itself waits until it is well.
func TestBreaker_ARunOfAnotherNodeWaitsAsleep(t *testing.T) {
	t.Parallel()
	down := newProvider(t, isDown)
	c, ask, second := twoNodes(t, func() agents.Option {
		return agents.UseModel(down.model("big"), agents.Retry(2, time.Millisecond),
			agents.Breaker(agents.Trip{Failures: 2, Pause: time.Second, Longest: 2 * time.Second}))
	})
	second()
	one := make(chan error, 1)
	go func() {
		_, err := ask("one", "a")
		one <- err
	}()
	until(t, func() bool { return len(down.requests()) >= 3 }) // it was probed: the breaker was open
	two := make(chan error, 1)
	go func() {
		_, err := ask("two", "a")
		two <- err
	}()
	asleep := func() bool {
		info, err := c.List(testContext(t), perdure.ListRuns{Kind: "two"})
		return err == nil && len(info.Runs) == 1
	}
	until(t, asleep)
	down.becomes(nil)
	for _, ended := range []chan error{one, two} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// until waits until what is asked for is so.
func until(t *testing.T, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ctx := testContext(t); !so(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("waited in vain")
		}
	}
}

// TestRateLimit_IsThatOfAllNodes has two nodes send more than is let through. What comes is
// counted outside: in no window more than the limit, and nobody is refused.
func TestRateLimit_IsThatOfAllNodes(t *testing.T) {
	t.Parallel()
	const limit, runs = 6, 20
	const window = time.Second
	p := newProvider(t, nil)
	_, ask, second := twoNodes(t, func() agents.Option {
		return agents.UseModel(p.model("limited"), agents.Retry(1, 0), agents.RateLimit(agents.PerSecond{Requests: limit}))
	})
	second()
	var all sync.WaitGroup
	for i := range runs {
		all.Go(func() {
			if _, err := ask([]string{"one", "two"}[i%2], fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	at := p.requests()
	if len(at) != runs {
		t.Errorf("%d requests, want %d", len(at), runs)
	}
	for i := limit; i < len(at); i++ {
		if d := at[i].Sub(at[i-limit]); d < window {
			t.Errorf("%d requests within %s, which is less than %s", limit+1, d, window)
		}
	}
	if d := at[len(at)-1].Sub(at[0]); d > 5*window {
		t.Errorf("%d requests took %s: the limit was not made use of", runs, d)
	}
}

// TestResilience_OfAProviderThatDoesEverythingWrong has one provider throttle, stall in the
// middle of its answer, break off and go away, and another one by another SDK.
func TestResilience_OfAProviderThatDoesEverythingWrong(t *testing.T) {
	t.Parallel()
	stalls := make(chan struct{})
	first := newProvider(t, func(n int, w http.ResponseWriter) {
		switch n {
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"choices":[{"mess`))
			w.(http.Flusher).Flush()
			<-stalls
		default:
			isDown(n, w)
		}
	})
	t.Cleanup(func() { close(stalls) }) // before the server is closed, which waits for its requests
	second := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"m","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"from the other"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}`))
	}))
	t.Cleanup(second.Close)
	name := durable.Declare[string, string]("asks")
	node := running(t, "", perdure.Host(agents.New(name, agents.UseModel(first.model("big"), agents.Retry(4, time.Millisecond), agents.Timeout(500*time.Millisecond),
		agents.Fallback(agents.Unstreamed(anthropic.New("claude", anthropic.BaseURL(second.URL), anthropic.APIKey("any"), anthropic.HTTPClient(second.Client()))))))))
	ctx, cancel := context.WithTimeout(testContext(t), time.Minute)
	defer cancel()
	got, err := perdure.Call(ctx, node.Client(), name.At("a"), "hello")
	if err != nil || got != "from the other" {
		t.Errorf("answer %q, %v", got, err)
	}
	at := first.requests()
	if len(at) != 4 || at[1].Sub(at[0]) < time.Second {
		t.Errorf("requests at %v; want 4, the second no sooner than a second after the first", at)
	}
}
