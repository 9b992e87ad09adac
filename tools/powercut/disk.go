// Package powercut is a disk that loses what was not synced when its power is cut,
// and the proof that what Perdure has acknowledged at durability disk is not lost
// with it.
package powercut

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Disk is a file system in memory. Of each file and folder it has what programs
// see, and what a cut of its power would leave: that is as little as a file system
// may keep, and more than it must of some, by a draw.
type Disk struct {
	// Late keeps what was done to a folder from the disk until that folder is
	// synced. Otherwise it is there at once, before what the files contain.
	Late bool
	// Delay is how long a sync takes. What is written meanwhile is not part of it.
	Delay time.Duration
	// Trip is asked before and after each operation on a path whether power goes at
	// this moment. It may be nil.
	Trip func(op, path string, after bool) bool

	slow    atomic.Int64 // how long each write takes, and each sync longer, nanoseconds
	delayed atomic.Int64 // how many took so long

	dark chan struct{} // closed when there is no power
	dead chan struct{} // closed when nobody is left who could see what comes

	mu    sync.Mutex // guards everything below, and all nodes
	root  *node
	nodes map[uint64]*node // that the kernel knows
	last  uint64
}

// A node is a file or a folder; its names are in folders.
type node struct {
	id    uint64
	path  string // the first it had
	mode  uint32
	links uint32
	known uint64 // how often the kernel was told of it
	mtime time.Time

	// Of a file:
	data, disk []byte     // as it is seen, and as it was synced
	dirty      []extent   // what of data is not on disk
	low        int        // the least size since it was synced
	syncing    sync.Mutex // one sync at a time; taken before Disk.mu

	// Of a folder:
	names, synced map[string]*node
	log           []*change // that are in names, and not in synced
}

// An extent is a part of a file.
type extent struct{ from, to int }

// A change is what one operation does to folders. It reaches the disk as a whole,
// after those before it.
type change struct {
	edits []edit
	done  bool
}

type edit struct {
	dir  *node
	name string
	to   *node // nil: there is none of this name any more
}

// mtimeStep is how coarse the times of changes are.
const mtimeStep = 10 * time.Millisecond

func newDisk() *Disk {
	d := &Disk{Delay: time.Millisecond, dark: make(chan struct{}), dead: make(chan struct{}), nodes: map[uint64]*node{}}
	d.root = d.make(syscall.S_IFDIR | 0o755)
	d.root.links, d.nodes[d.root.id] = 1, d.root
	return d
}

func (d *Disk) make(mode uint32) *node {
	d.last++
	n := &node{id: d.last, mode: mode}
	n.touch()
	if n.isDir() {
		n.names, n.synced = map[string]*node{}, map[string]*node{}
	}
	return n
}

func (n *node) isDir() bool { return n.mode&syscall.S_IFMT == syscall.S_IFDIR }

func (n *node) touch() { n.mtime = time.Now().Truncate(mtimeStep) }

// do does one operation. One at which power goes never returns to a living caller.
func (d *Disk) do(op, path string, f func() syscall.Errno) syscall.Errno {
	d.mu.Lock()
	d.trip(op, path, false)
	errno := syscall.EIO
	if !closed(d.dark) {
		errno = f()
		d.trip(op, path, true)
	}
	dark := closed(d.dark)
	d.mu.Unlock()
	if dark {
		<-d.dead
		return syscall.EIO
	}
	return errno
}

func (d *Disk) trip(op, path string, after bool) {
	if d.Trip != nil && !closed(d.dark) && d.Trip(op, path, after) {
		close(d.dark)
	}
}

// Cut takes the power away: nothing changes any more, and whoever uses the disk
// waits.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !closed(d.dark) {
		close(d.dark)
	}
}

// Slow has each write take a time from now on, and each sync longer by it.
func (d *Disk) Slow(by time.Duration) { d.slow.Store(int64(by)) }

// Delayed returns how many writes and syncs were slow.
func (d *Disk) Delayed() int { return int(d.delayed.Load()) }

// wait lets the time of a write or a sync pass.
func (d *Disk) wait(least time.Duration) {
	slow := time.Duration(d.slow.Load())
	if slow > 0 {
		d.delayed.Add(1)
	}
	if least += slow; least > 0 {
		select {
		case <-time.After(least):
		case <-d.dark:
		}
	}
}

// Dark is closed when there is no power.
func (d *Disk) Dark() <-chan struct{} { return d.dark }

// Bury ends the waiting for a disk without power, with errors. Whoever used it was
// killed before.
func (d *Disk) Bury() { close(d.dead) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// change applies edits, and notes them for the disk.
func (d *Disk) change(edits ...edit) {
	c := &change{edits: edits}
	for _, e := range edits {
		if old := e.dir.names[e.name]; old != nil {
			old.links--
		}
		if e.to != nil {
			e.to.links++
			e.dir.names[e.name] = e.to
			if e.to.path == "" {
				e.to.path = e.dir.path + "/" + e.name
			}
		} else {
			delete(e.dir.names, e.name)
		}
		e.dir.touch()
		if log := e.dir.log; len(log) == 0 || log[len(log)-1] != c {
			e.dir.log = append(log, c)
		}
	}
	if !d.Late {
		c.apply()
	}
}

// apply makes a change, and those before it in the same folders, reach the disk.
func (c *change) apply() {
	if c.done {
		return
	}
	for _, e := range c.edits {
		for len(e.dir.log) > 0 && e.dir.log[0] != c {
			e.dir.log[0].apply()
		}
	}
	c.done = true
	for _, e := range c.edits {
		if e.to != nil {
			e.dir.synced[e.name] = e.to
		} else {
			delete(e.dir.synced, e.name)
		}
		if len(e.dir.log) > 0 && e.dir.log[0] == c {
			e.dir.log = e.dir.log[1:]
		}
	}
}

func (n *node) write(b []byte, at int) {
	if at > len(n.data) {
		n.resize(at)
	}
	if end := at + len(b); end > len(n.data) {
		n.data = append(n.data[:at], b...)
	} else {
		copy(n.data[at:], b)
	}
	n.dirty = append(n.dirty, extent{at, at + len(b)})
	n.touch()
}

func (n *node) resize(size int) {
	switch {
	case size < len(n.data):
		n.data = n.data[:size:size]
		n.low = min(n.low, size)
	case size > len(n.data):
		n.dirty = append(n.dirty, extent{len(n.data), size})
		n.data = append(n.data, make([]byte, size-len(n.data))...)
	}
	n.touch()
}

// sync makes durable what a file contains, or a folder, as it is when it begins.
func (d *Disk) sync(n *node) syscall.Errno {
	n.syncing.Lock()
	defer n.syncing.Unlock()
	var (
		parts     [][]byte
		began     int // of the extents
		low, size int
		log       []*change
	)
	errno := d.do("sync", n.path, func() syscall.Errno {
		began, low, size, log = len(n.dirty), n.low, len(n.data), n.log
		n.low = size
		for _, e := range n.dirty {
			part := n.data[min(e.from, size):min(e.to, size)]
			parts = append(parts, append([]byte(nil), part...))
		}
		return 0
	})
	if errno != 0 {
		return errno
	}
	d.wait(d.Delay)
	return d.do("synced", n.path, func() syscall.Errno {
		if n.isDir() {
			if len(log) > 0 {
				log[len(log)-1].apply()
			}
			return 0
		}
		n.disk = n.disk[:min(low, len(n.disk))]
		n.disk = append(n.disk, make([]byte, max(0, size-len(n.disk)))...)
		for i, e := range n.dirty[:began] {
			copy(n.disk[min(e.from, size):], parts[i])
		}
		n.dirty = n.dirty[began:]
		return 0
	})
}

// page is what reaches a disk as a whole.
const page = 4096

// left draws what a cut leaves of a file: what was synced, and of what was written
// since nothing, the first pages, or any.
func (n *node) left(r *rand.Rand) []byte {
	kind := r.IntN(4)
	if len(n.dirty) == 0 || kind < 2 { // nothing
		return n.disk
	}
	left := append([]byte(nil), n.disk...)
	if r.IntN(2) == 0 {
		left = left[:min(n.low, len(left))]
	}
	pages := map[int]bool{}
	for _, e := range n.dirty {
		for p := e.from / page; p*page < min(e.to, len(n.data)); p++ {
			pages[p] = true
		}
	}
	all := slices.Sorted(maps.Keys(pages))
	if kind == 2 {
		all = all[:r.IntN(len(all)+1)]
	}
	for _, p := range all {
		if kind == 3 && r.IntN(2) == 0 {
			continue
		}
		from, to := p*page, min((p+1)*page, len(n.data))
		left = append(left, make([]byte, max(0, to-len(left)))...)
		copy(left[from:], n.data[from:to])
	}
	return left
}
