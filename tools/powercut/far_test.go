package powercut

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A job is an order and a change of a tally, and how far those who asked for them
// have seen them come: what was acknowledged to them.
type job struct {
	N         int
	Accepted  bool   // the start of the order
	Signalled bool   // the signal to it
	Nonce     string // of its result; empty until that was returned
	Added     bool   // the change

	begun int  // the last step of the order that began
	taken int  // the boot in which somebody last took the job
	late  bool // its result is looked at in this boot
}

func (j *job) over() bool { return j.Nonce != "" && j.Added }

// The kinds of what is told of a job.
const (
	accepted  = "accepted"
	signalled = "signalled"
	returned  = "returned"
	added     = "added"
)

// A farSide is the world around the nodes, which no cut takes anything from. It hands
// out work, and notes what was acknowledged and what has happened.
type farSide struct {
	URL string

	mu     sync.Mutex
	boot   int
	jobs   []*job
	fresh  bool // new jobs are made
	checks int  // of results that were returned, in this boot
	wrong  []string
	steps  int
	poke   chan struct{} // closed, and made anew, when something is wrong or a job is over
}

// newFarSide answers the nodes at:
//
//	POST /<boot>/work            a job that is not over
//	POST /<boot>/tell/<n>/<what> what was acknowledged of job n; the body is its nonce
//	POST /<boot>/step/<n>/<i>    step i of order n begins
//	POST /<boot>/wrong           the body says what
func newFarSide(t *testing.T) *farSide {
	f := &farSide{poke: make(chan struct{})}
	mux := http.NewServeMux()
	handle := func(path string, do func(r *http.Request, n int, body string) any) {
		mux.HandleFunc("POST /{boot}/"+path, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			n, _ := strconv.Atoi(r.PathValue("n"))
			f.mu.Lock()
			defer f.mu.Unlock()
			if r.PathValue("boot") != strconv.Itoa(f.boot) {
				http.Error(w, "you are dead", http.StatusGone)
				return
			}
			if answer := do(r, n, string(body)); answer != nil {
				_ = json.NewEncoder(w).Encode(answer)
			}
		})
	}
	handle("work", func(*http.Request, int, string) any {
		if j := f.take(); j != nil {
			return j
		}
		return struct{}{}
	})
	handle("tell/{n}/{what}", func(r *http.Request, n int, body string) any {
		f.tell(n, r.PathValue("what"), body)
		return nil
	})
	handle("step/{n}/{i}", func(r *http.Request, n int, _ string) any {
		i, _ := strconv.Atoi(r.PathValue("i"))
		f.step(n, i)
		return nil
	})
	handle("wrong", func(_ *http.Request, _ int, body string) any {
		f.say("%s", body)
		return nil
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	f.URL = srv.URL
	return f
}

// A past is what was acknowledged before a boot.
type past struct {
	tallied [tallies]int // how many changes of each tally
	begun   []int        // orders of which a step was recorded
}

// next begins a boot.
func (f *farSide) next(fresh bool) (p past) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.boot++
	f.fresh, f.checks = fresh, 0
	for _, j := range f.jobs {
		if j.Nonce != "" {
			p.tallied[j.N%tallies]++
		}
		if j.Added {
			p.tallied[j.N%tallies]++
		}
		if j.begun > 1 && j.taken >= f.boot-2 {
			p.begun = append(p.begun, j.N)
		}
		j.late = j.over()
	}
	return p
}

// told is what is said of all jobs.
func (f *farSide) told() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	over := 0
	for _, j := range f.jobs {
		if j.over() {
			over++
		}
	}
	return fmt.Sprintf("%d jobs so far, %d over, %d steps", len(f.jobs), over, f.steps)
}

// take returns a job that nobody has in this boot: one that is not over, or, now and
// then, one whose result was returned.
func (f *farSide) take() *job {
	for _, j := range f.jobs {
		if j.taken == f.boot || j.late && f.fresh && f.checks == recheck {
			continue
		}
		if j.late {
			f.checks++
		}
		j.taken = f.boot
		return j
	}
	if !f.fresh {
		return nil
	}
	j := &job{N: len(f.jobs), taken: f.boot}
	f.jobs = append(f.jobs, j)
	return j
}

func (f *farSide) say(format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf("boot %d: ", f.boot)+fmt.Sprintf(format, args...))
	f.changed()
}

func (f *farSide) changed() {
	close(f.poke)
	f.poke = make(chan struct{})
}

func (f *farSide) tell(n int, what, nonce string) {
	j := f.jobs[n]
	switch what {
	case accepted:
		j.Accepted = true
	case signalled:
		j.Signalled = true
	case added:
		j.Added = true
	case returned:
		if j.Nonce != "" && j.Nonce != nonce {
			f.say("order %d: its result was returned with %s, and now with %s", n, j.Nonce, nonce)
		}
		j.Nonce, j.late = nonce, false
	}
	if j.over() {
		f.changed()
	}
}

// step notes that a step begins: all before it were recorded.
func (f *farSide) step(n, i int) {
	f.steps++
	j := f.jobs[n]
	if i < j.begun {
		f.say("order %d: step %d begins again, and step %d had begun: the record of the first is lost", n, i, j.begun)
	}
	if j.Nonce != "" {
		f.say("order %d: step %d begins, and its result had been returned: that is lost", n, i)
	}
	j.begun = max(j.begun, i)
}

// found returns what is wrong.
func (f *farSide) found() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong
}

// open returns the jobs that are not over, and a channel that is closed when there
// may be fewer, or something is wrong.
func (f *farSide) open() (open []job, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range f.jobs {
		if !j.over() || j.late && !f.fresh {
			open = append(open, *j)
		}
	}
	return open, f.poke
}

// A far is the far side as a program of one boot sees it.
type far struct{ base string }

func (f far) post(ctx context.Context, path, body string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	if into == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func (f far) tell(ctx context.Context, n int, what, nonce string) error {
	return f.post(ctx, fmt.Sprintf("/tell/%d/%s", n, url.PathEscape(what)), nonce, nil)
}
