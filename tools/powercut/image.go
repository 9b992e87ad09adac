package powercut

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Load makes a disk that holds what is in a folder, all of it synced.
func Load(from string) (*Disk, error) {
	d := newDisk()
	same := map[uint64]*node{} // by the number of the inode: files may have several names
	var fill func(dir *node, path string) error
	fill = func(dir *node, path string) error {
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				return err
			}
			at, path := info.Sys().(*syscall.Stat_t).Ino, filepath.Join(path, e.Name())
			n := same[at]
			switch {
			case n != nil:
			case e.IsDir():
				n = d.make(syscall.S_IFDIR | uint32(info.Mode().Perm()))
			case info.Mode().IsRegular():
				n = d.make(syscall.S_IFREG | uint32(info.Mode().Perm()))
				if n.data, err = os.ReadFile(path); err != nil {
					return err
				}
				n.disk, n.low = slices.Clone(n.data), len(n.data)
				same[at] = n
			default:
				return fmt.Errorf("%s is neither a file nor a folder", path)
			}
			d.change(edit{dir, e.Name(), n})
			if e.IsDir() {
				if err := fill(n, path); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := fill(d.root, from); err != nil {
		return nil, fmt.Errorf("load a disk from %s: %w", from, err)
	}
	return d, nil
}

// Left writes what the cut has left into a folder, which must be new.
func (d *Disk) Left(r *rand.Rand, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !closed(d.dark) {
		return fmt.Errorf("write what is left of the disk: it has power; cut it first")
	}
	d.late(r)
	paths := map[*node]string{}
	var write func(dir *node, path string) error
	write = func(dir *node, path string) error {
		if err := os.Mkdir(path, fs.FileMode(dir.mode&0o777)); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(dir.synced)) {
			n, path := dir.synced[name], filepath.Join(path, name)
			var err error
			switch old, ok := paths[n]; {
			case n.isDir():
				err = write(n, path)
			case ok:
				err = os.Link(old, path)
			default:
				paths[n] = path
				err = os.WriteFile(path, n.left(r), fs.FileMode(n.mode&0o777))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := write(d.root, to); err != nil {
		return fmt.Errorf("write what is left of the disk: %w", err)
	}
	return nil
}

// late draws how many of the changes of each folder that was not synced have reached
// the disk: often none or all.
func (d *Disk) late(r *rand.Rand) {
	seen := map[*node]bool{}
	var dirs []*node
	var find func(n *node)
	find = func(n *node) {
		if seen[n] || !n.isDir() {
			return
		}
		seen[n] = true
		dirs = append(dirs, n)
		for _, all := range []map[string]*node{n.names, n.synced} {
			for _, to := range all {
				find(to)
			}
		}
	}
	find(d.root)
	slices.SortFunc(dirs, func(a, b *node) int { return cmp.Compare(a.id, b.id) })
	for _, dir := range dirs {
		n := len(dir.log)
		switch r.IntN(3) {
		case 0:
			n = 0
		case 1:
			n = r.IntN(n + 1)
		}
		if n > 0 {
			dir.log[n-1].apply()
		}
	}
}
