package scripted

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A Server plays a script to whoever asks. It is an [http.Handler] with the
// paths POST /v1/chat/completions, POST /v1/responses, POST /v1/messages, GET
// /v1/models, GET /calls and POST /release.
type Server struct {
	mux *http.ServeMux

	mu       sync.Mutex
	rules    []*Rule
	counts   Counts
	ids      int
	changed  chan struct{} // closed when counts change; nil while nobody waits for that
	released chan struct{} // closed by Release
	models   map[string]bool
	cached   map[[sha256.Size]byte]bool // what the Messages API has read before
	bodies   [][]byte                   // the last requests of the other two
}

// Counts is what a server was asked, as GET /calls answers it.
type Counts struct {
	// Calls is the number of different calls: of idempotency keys, and of
	// requests without one.
	Calls int `json:"calls"`
	// Repeated is the number of requests beyond the first of their key.
	// Invariant: Calls + Repeated is the number of requests.
	Repeated int            `json:"repeated"`
	Keys     map[string]int `json:"keys"`      // requests by idempotency key
	InFlight int            `json:"in_flight"` // requests that are not answered yet
}

// Requests returns the number of requests.
func (c Counts) Requests() int { return c.Calls + c.Repeated }

// New returns a server that plays a script. The error says what is wrong with
// which of its rules.
func New(s Script) (*Server, error) {
	rules, err := s.compile()
	if err != nil {
		return nil, err
	}
	v := &Server{
		mux: http.NewServeMux(), rules: rules, counts: Counts{Keys: map[string]int{}},
		released: make(chan struct{}), models: map[string]bool{"scripted": true},
		cached: map[[sha256.Size]byte]bool{},
	}
	v.mux.HandleFunc("POST /v1/chat/completions", v.answer(completions{v}))
	v.mux.HandleFunc("POST /v1/messages", v.answer(messages{v}))
	v.mux.HandleFunc("POST /v1/responses", v.answer(responses{v}))
	v.mux.HandleFunc("GET /v1/models", v.list)
	v.mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, v.Counts()) })
	v.mux.HandleFunc("POST /release", func(w http.ResponseWriter, _ *http.Request) {
		v.Release()
		writeJSON(w, http.StatusOK, v.Counts())
	})
	v.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, "there is no "+r.Method+" "+r.URL.Path+"; the base URL ends with /v1")
	})
	return v, nil
}

// ServeHTTP answers a request.
func (v *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { v.mux.ServeHTTP(w, r) }

// Counts returns what the server was asked so far.
func (v *Server) Counts() Counts {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.counts
	c.Keys = maps.Clone(c.Keys)
	return c
}

// Wait returns when the counts are such that ok returns true for them, or with
// the error of ctx.
func (v *Server) Wait(ctx context.Context, ok func(Counts) bool) error {
	for {
		v.mu.Lock()
		if v.changed == nil {
			v.changed = make(chan struct{})
		}
		changed := v.changed
		v.mu.Unlock()
		if ok(v.Counts()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Release lets every request that is held go on; later ones are not held.
func (v *Server) Release() {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-v.released:
	default:
		close(v.released)
	}
}

// count changes the counts; v.mu is held.
func (v *Server) count(change func(*Counts)) {
	change(&v.counts)
	if v.changed != nil {
		close(v.changed)
		v.changed = nil
	}
}

// arrive counts a request.
func (v *Server) arrive(key string) (number int, left func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.count(func(c *Counts) {
		c.InFlight++
		if key != "" {
			c.Keys[key]++
		}
		if c.Keys[key] > 1 {
			c.Repeated++
		} else {
			c.Calls++
		}
		number = c.Requests()
	})
	return number, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.count(func(c *Counts) { c.InFlight-- })
	}
}

// A protocol is an API that the script is played over.
type protocol interface {
	// parse reads a request and refuses what a provider refuses.
	parse(header http.Header, body []byte) (*Request, error)
	// body returns an answer: whole, or an event for each part of a stream.
	body(req *Request, reply Reply) ([][]byte, error)
	// error is an error in the provider's form.
	error(status int, message string) []byte
}

// answer returns the handler of a protocol's requests.
func (v *Server) answer(p protocol) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		number, left := v.arrive(key)
		defer left()
		refuse := func(message string) { write(w, http.StatusBadRequest, p.error(http.StatusBadRequest, message)) }
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
		if err != nil {
			refuse("the body cannot be read: " + err.Error())
			return
		}
		req, err := p.parse(r.Header, body)
		if err != nil {
			refuse(err.Error())
			return
		}
		req.Number, req.Key = number, key
		reply, ok := v.play(req)
		if !ok {
			refuse(fmt.Sprintf("the script has no rule for request %d, whose last message is of role %q: %.200q", number, req.Last().Role, req.Last().Content))
			return
		}
		if !reply.Midway {
			v.stall(r.Context(), reply)
		}
		v.send(r.Context(), w, p, req, reply)
	}
}

// play returns the reply of the first rule that fits.
func (v *Server) play(req *Request) (Reply, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.models[req.Model] = true
	for _, rule := range v.rules {
		last := req.Last()
		switch {
		case rule.Request > 0 && rule.Request != req.Number,
			rule.Times > 0 && rule.applied >= rule.Times,
			rule.Result != "" && (last.Role != "tool" || rule.Result != "*" && rule.Result != last.Tool),
			rule.message != nil && !rule.message.MatchString(req.User()):
			continue
		}
		rule.applied++
		if rule.Func != nil {
			return rule.Func(req), true
		}
		reply := rule.Reply
		reply.Text = req.expand(reply.Text, rule, func(s string) string { return s })
		reply.Calls = append([]Call(nil), reply.Calls...)
		for i, c := range reply.Calls {
			reply.Calls[i].Arguments = Arguments(req.expand(string(c.Arguments), rule, escapeJSON))
		}
		return reply, true
	}
	return Reply{}, false
}

// stall waits as long as a reply says. If the client goes away meanwhile, or the
// server ends, it ends the connection: no answer is better than an empty one.
func (v *Server) stall(ctx context.Context, reply Reply) {
	if reply.Stall > 0 {
		t := time.NewTimer(time.Duration(reply.Stall))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
	if reply.Hold {
		select {
		case <-v.released:
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
}

func (v *Server) send(ctx context.Context, w http.ResponseWriter, p protocol, req *Request, reply Reply) {
	if reply.RetryAfter > 0 {
		d := time.Duration(reply.RetryAfter)
		if d%time.Second == 0 {
			w.Header().Set("Retry-After", strconv.FormatInt(int64(d/time.Second), 10))
		} else {
			w.Header().Set("Retry-After-Ms", strconv.FormatInt(d.Milliseconds(), 10))
		}
	}
	midway := reply.Midway && req.Stream // where a failure is an event
	failed := reply.Status != 0 && !midway
	status := http.StatusOK
	if failed {
		status = reply.Status
	}
	message := reply.Text
	if message == "" {
		message = "the script says so"
	}
	var parts [][]byte
	switch {
	case reply.Body != "":
		parts = [][]byte{[]byte(reply.Body)}
	case failed:
		parts = [][]byte{p.error(reply.Status, message)}
	default:
		var err error
		if parts, err = p.body(req, reply); err != nil {
			failed, status = true, http.StatusInternalServerError
			parts = [][]byte{p.error(status, err.Error())}
		}
	}
	total := 0
	for _, part := range parts {
		total += len(part)
	}
	if w.Header().Set("Content-Type", "text/event-stream"); !req.Stream || failed {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(total))
	}
	w.WriteHeader(status)
	if len(parts) == 1 { // two halves, so that there is a middle
		parts = [][]byte{parts[0][:total/2], parts[0][total/2:]}
	}
	left := total
	if reply.Cut {
		if left = total / 2; reply.CutAt > 0 {
			left = min(reply.CutAt, total)
		}
	}
	for i, part := range parts {
		if reply.Midway && i == len(parts)/2 {
			v.stall(ctx, reply)
			if midway && reply.Status != 0 {
				_, _ = w.Write(event("error", p.error(reply.Status, message)))
				return
			}
		}
		_, _ = w.Write(part[:min(left, len(part))]) // a client that went away is its own business
		if left -= len(part); req.Stream || reply.Midway || left < 0 {
			_ = http.NewResponseController(w).Flush()
		}
		if left < 0 {
			break
		}
	}
	if reply.Cut {
		panic(http.ErrAbortHandler) // how a handler ends the connection
	}
}

// event is an event of a stream.
func event(kind string, data []byte) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, data)
}

func (v *Server) list(w http.ResponseWriter, _ *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	data := []map[string]any{}
	for name := range v.models {
		data = append(data, map[string]any{"id": name, "object": "model", "created": 0, "owned_by": "scripted"})
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data})
}

func writeError(w http.ResponseWriter, status int, message string) {
	write(w, status, errorBody(status, message))
}

func write(w http.ResponseWriter, status int, data []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}

// errorBody is an error in the form of Chat Completions.
func errorBody(status int, message string) []byte {
	kind, code := "server_error", any(nil)
	switch {
	case status == http.StatusTooManyRequests:
		kind, code = "requests", "rate_limit_exceeded"
	case status == http.StatusUnauthorized:
		kind, code = "invalid_request_error", "invalid_api_key"
	case status < 500:
		kind = "invalid_request_error"
	}
	data, err := json.Marshal(map[string]any{"error": map[string]any{"message": message, "type": kind, "code": code, "param": nil}})
	if err != nil {
		return []byte(err.Error())
	}
	return data
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		writeError(w, http.StatusInternalServerError, err.Error())
		return
	}
	write(w, status, data)
}
