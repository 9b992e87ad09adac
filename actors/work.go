package actors

import (
	"sync"

	"github.com/perdure/perdure/runtime"
)

// work owns goroutines: it begins them until it is told to end, and says when
// the last is over. A [sync.WaitGroup] does not do: its Wait may not run at the
// same time as an Add that finds it empty. The zero value is ready to use.
type work struct {
	mu      sync.Mutex
	running int
	crew    *runtime.Crew // nil: a goroutine for each
	over    chan struct{} // nil until end is called; closed with the last goroutine
}

// begin runs fn on a goroutine, or returns false: no more is begun.
func (w *work) begin(fn func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over != nil {
		return false
	}
	w.running++
	w.crew.Do(func() {
		defer w.done()
		fn()
	})
	return true
}

func (w *work) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running--; w.running == 0 && w.over != nil {
		close(w.over)
	}
}

// end begins no more, and returns what is closed once nothing runs. It may be
// called again.
func (w *work) end() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over == nil {
		w.over = make(chan struct{})
		if w.running == 0 {
			close(w.over)
		}
	}
	return w.over
}
