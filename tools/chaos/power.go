package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/tools/powercut"
)

// Kinds that take a disk of tools/powercut, which not every machine can mount.
const (
	slowDisk = "slow-disk"
	power    = "power"
)

// A weakDisk is one that the first NATS server alone is on: it can be slow, and its power
// can be cut.
type weakDisk struct {
	dir     string // where it is mounted
	disk    *powercut.Disk
	unmount func() error
	left    string // the folder that it was loaded from
	loads   int
}

// mountWeak gives the first NATS server a weak disk; ok is false where that cannot be
// mounted. Whoever has mounted it unmounts it in the end.
func (c *cluster) mountWeak() (ok bool) {
	w := &weakDisk{dir: filepath.Join(c.dir, "nats1"), left: filepath.Join(c.dir, "nats1-left0")}
	for _, dir := range []string{w.dir, w.left} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return false
		}
	}
	if err := w.mount(); err != nil {
		return false
	}
	c.weak = w
	return true
}

// mount mounts a disk that has what is in left.
func (w *weakDisk) mount() (err error) {
	if w.disk, err = powercut.Load(w.left); err != nil {
		return err
	}
	if w.unmount, err = w.disk.Mount(w.dir); err != nil {
		return err
	}
	return os.RemoveAll(w.left)
}

// cut takes the power of the disk away, and of the process that is on it, and mounts an
// empty one in its place: a server that syncs now and then, and lost its power, does not
// know what it lacks of what it had (docs/chaos.md).
func (w *weakDisk) cut(p *process) (hit bool, err error) {
	w.disk.Cut()
	gone := p.condemn()
	w.disk.Bury() // it may have waited for the disk, and ends now
	if gone != nil {
		<-gone
	}
	if err := w.unmount(); err != nil {
		return false, err
	}
	w.loads++
	w.left = filepath.Join(filepath.Dir(w.dir), fmt.Sprint("nats1-left", w.loads))
	if err := os.MkdirAll(w.left, 0o700); err != nil {
		return false, err
	}
	return gone != nil, w.mount()
}

func (c *cluster) unmountWeak() {
	if c.weak != nil {
		_ = c.weak.unmount()
	}
}

// slowDisk has each write to a disk take its time, and each sync.
func (n *nemesis) slowDisk() harm {
	w, d := n.c.weak, n.between(5*time.Millisecond, 300*time.Millisecond)
	before := w.disk.Delayed()
	w.disk.Slow(d)
	return harm{fmt.Sprint("nats1 by ", d.Round(time.Millisecond)), "", n.between(time.Second, 8*time.Second), func() bool {
		w.disk.Slow(0)
		return w.disk.Delayed() > before
	}}
}

// power takes the power of one server away, which comes back with an empty directory.
// The others have what it had: a second loss before it has caught up would be that of a
// majority, so all servers have what they should before, and the run goes on when they
// have it again.
func (n *nemesis) power() harm {
	p, w := n.c.servers[0], n.c.weak
	var hit atomic.Bool
	if n.c.current(n.ctx, whole) {
		done, err := w.cut(p)
		if err != nil {
			n.h.add(event{Ev: evEnded, Node: p.name, Err: err.Error()})
		}
		hit.Store(done)
	}
	return harm{p.name, "", n.between(0, 4*time.Second), func() bool {
		if err := p.start(); err != nil {
			n.h.add(event{Ev: evEnded, Node: p.name, Err: err.Error()})
		}
		n.c.current(n.ctx, whole)
		return hit.Load()
	}}
}

// whole is how long servers have to catch up.
const whole = 90 * time.Second

// current waits until each server has all that the others have, and reports whether it
// has come to that.
func (c *cluster) current(ctx context.Context, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for row := 0; row < 2; { // a server that has just lost its leader may not know yet
		ok := true
		for _, url := range c.health {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return false
			}
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			ok = ok && err == nil && resp.StatusCode == http.StatusOK
		}
		if row++; !ok {
			row = 0
		}
		if ctx.Err() != nil {
			return false
		}
		wait(ctx, 300*time.Millisecond)
	}
	return true
}
