package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// diskBytes is how large the disk of the last NATS server is, on which it alone is.
const diskBytes = 1 << 30

// mountDisk gives the last NATS server a small disk of its own, in memory; ok is false
// where that cannot be mounted. Whoever has mounted it unmounts it in the end.
func (c *cluster) mountDisk() (ok bool) {
	dir := c.diskDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false
	}
	c.disk = syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", diskBytes)) == nil
	return c.disk
}

func (c *cluster) diskDir() string { return filepath.Join(c.dir, fmt.Sprint("nats", size)) }

func (c *cluster) unmountDisk() {
	if c.disk {
		_ = syscall.Unmount(c.diskDir(), 0)
	}
}

// fullDisk fills the disk of the server that has one of its own. The server switches
// JetStream off when it notices; so when there is room again it is started anew, as its
// operator would.
func (n *nemesis) fullDisk() harm {
	p := n.c.servers[size-1]
	filler := filepath.Join(n.c.diskDir(), "filler")
	hit := fill(filler)
	restart := n.restart
	return harm{p.name, "", n.between(time.Second, 6*time.Second), func() bool {
		_ = os.Remove(filler)
		restart(p)()
		return hit
	}}
}

// fill makes a file that leaves no room beside it.
func fill(path string) (full bool) {
	f, err := os.Create(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for buf := make([]byte, 1<<20); len(buf) > 0; {
		if _, err := f.Write(buf); err != nil {
			full, buf = true, buf[:len(buf)/2]
		}
	}
	return full
}
