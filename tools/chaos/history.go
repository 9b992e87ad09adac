package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// An event is a line of the history. Which fields are set is said at its kind.
type event struct {
	T  int64  `json:"t"` // when, Unix nanoseconds
	Ev string `json:"ev"`

	Op     int    `json:"op,omitempty"`     // invoke, accept, return: the operation
	Client int    `json:"client,omitempty"` // invoke
	Verb   string `json:"verb,omitempty"`   // invoke: what is asked
	Run    string `json:"run,omitempty"`    // invoke, step, entry, again: reference
	Cell   string `json:"cell,omitempty"`   // invoke: the cell that it reads or changes
	Ledger string `json:"ledger,omitempty"` // invoke, list: the ledger
	In     int    `json:"in,omitempty"`     // invoke
	WaitMS int    `json:"wait_ms,omitempty"`
	Out    int    `json:"out,omitempty"`    // return: of the cell
	Result string `json:"result,omitempty"` // return, again: the whole result, JSON
	Err    string `json:"err,omitempty"`    // return, again

	Node  string `json:"node,omitempty"`  // step, ended: the process
	Path  string `json:"path,omitempty"`  // step: its number
	Name  string `json:"name,omitempty"`  // step
	Key   string `json:"key,omitempty"`   // step: its idempotency key
	Begun int64  `json:"begun,omitempty"` // step: when its body began, Unix nanoseconds

	Seq   uint64   `json:"seq,omitempty"`   // entry
	At    int64    `json:"at,omitempty"`    // entry: when it was stored, Unix nanoseconds
	Epoch uint64   `json:"epoch,omitempty"` // entry
	Nonce string   `json:"nonce,omitempty"` // entry
	What  []string `json:"what,omitempty"`  // entry: its events; list: what was noted, "order.i"

	Fault  string `json:"fault,omitempty"` // fault: its kind
	Target string `json:"target,omitempty"`
	Phase  string `json:"phase,omitempty"`  // fault: begin or end; phase: its name
	Flight int    `json:"flight,omitempty"` // fault, end: runs in flight that it hit
	Hit    bool   `json:"hit,omitempty"`    // fault, end: it did something to its target
}

// The kinds of events.
const (
	evRun    = "run"    // the first line: name is what the run is called
	evInvoke = "invoke" // a client begins an operation
	evAccept = "accept" // its task was accepted
	evReturn = "return" // it has a result, or an error
	evStep   = "step"   // a step is executed
	evEntry  = "entry"  // an entry of a journal was stored
	evList   = "list"   // what a ledger has in the end
	evAgain  = "again"  // a result was asked for once more
	evFound  = "found"  // by an audit in the end: name is what, run where
	evFault  = "fault"
	evPhase  = "phase" // load, faults, quiet, over
	evEnded  = "ended" // a process ended by itself
	evBare   = "bare"  // a publisher without any of our code had an answer, after a pause worth noting
)

// A history takes events, in the order in which they come, and keeps them in a file.
type history struct {
	mu   sync.Mutex
	file *os.File
	w    *bufio.Writer
	all  []event
}

func newHistory(path string) (*history, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &history{file: f, w: bufio.NewWriterSize(f, 1<<20)}, nil
}

// add notes an event that happens now, unless it says when.
func (h *history) add(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.T == 0 {
		e.T = time.Now().UnixNano()
	}
	h.all = append(h.all, e)
	_ = json.NewEncoder(h.w).Encode(e) // an error comes again with close
}

// sofar returns what there is.
func (h *history) sofar() []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all[:len(h.all):len(h.all)]
}

func (h *history) close() ([]event, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.w.Flush(); err != nil {
		return nil, err
	}
	return h.all, h.file.Close()
}

// readHistory returns what a file has.
func readHistory(path string) (all []event, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for d := json.NewDecoder(bufio.NewReaderSize(f, 1<<20)); ; {
		var e event
		if err := d.Decode(&e); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read %s after %d events: %w", path, len(all), err)
		}
		all = append(all, e)
	}
}
