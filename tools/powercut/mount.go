package powercut

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Mount makes a disk the folder at path, until the function that it returns is
// called.
func (d *Disk) Mount(path string) (unmount func() error, err error) {
	srv, err := fuse.NewServer(&mount{RawFileSystem: fuse.NewDefaultRawFileSystem(), disk: d, open: map[uint64]*handle{}}, path, &fuse.MountOptions{
		DirectMountStrict: true, FsName: "powercut", Name: "powercut", DisableXAttrs: true, DisableReadDirPlus: true,
	})
	if err != nil {
		return nil, fmt.Errorf("mount on %s: %w", path, err)
	}
	go srv.Serve()
	if err := srv.WaitMount(); err != nil {
		return nil, fmt.Errorf("mount on %s: %w", path, err)
	}
	return srv.Unmount, nil
}

// A mount is what the kernel asks.
type mount struct {
	fuse.RawFileSystem
	disk *Disk

	mu   sync.Mutex
	open map[uint64]*handle
	last uint64
}

// A handle is an open file or folder.
type handle struct {
	node    *node
	synced  bool // each write is
	listing []fuse.DirEntry
}

func (m *mount) handle(h *handle) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	m.open[m.last] = h
	return m.last
}

func (m *mount) at(fh uint64) *handle {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open[fh]
}

// in does an operation on what the kernel knows by a number.
func (m *mount) in(op, name string, id uint64, f func(n *node) syscall.Errno) fuse.Status {
	m.disk.mu.Lock()
	n := m.disk.nodes[id]
	m.disk.mu.Unlock()
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	path := n.path
	if name != "" {
		path += "/" + name
	}
	return fuse.Status(m.disk.do(op, path, func() syscall.Errno { return f(n) }))
}

func attr(n *node, out *fuse.Attr) {
	out.Ino, out.Mode, out.Nlink, out.Size = n.id, n.mode, n.links, uint64(len(n.data))
	out.Blksize, out.Blocks = page, (out.Size+511)/512
	if n.isDir() {
		out.Nlink = 2
	}
	out.SetTimes(&n.mtime, &n.mtime, &n.mtime)
}

func (m *mount) tell(n *node, out *fuse.EntryOut) {
	n.known++
	m.disk.nodes[n.id] = n
	out.NodeId, out.Generation = n.id, 1
	attr(n, &out.Attr)
}

func (m *mount) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return m.in("lookup", name, h.NodeId, func(dir *node) syscall.Errno {
		n := dir.names[name]
		if n == nil {
			return syscall.ENOENT
		}
		m.tell(n, out)
		return 0
	})
}

// Forget has no answer that somebody could wait for.
func (m *mount) Forget(id, n uint64) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if f := m.disk.nodes[id]; f != nil && f != m.disk.root {
		if f.known -= min(f.known, n); f.known == 0 {
			delete(m.disk.nodes, id)
		}
	}
}

func (m *mount) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return m.in("getattr", "", in.NodeId, func(n *node) syscall.Errno {
		attr(n, &out.Attr)
		return 0
	})
}

func (m *mount) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return m.in("setattr", "", in.NodeId, func(n *node) syscall.Errno {
		if size, ok := in.GetSize(); ok {
			n.resize(int(size))
		}
		if mode, ok := in.GetMode(); ok {
			n.mode = n.mode&syscall.S_IFMT | mode&0o7777
		}
		if at, ok := in.GetMTime(); ok {
			n.mtime = at
		}
		attr(n, &out.Attr)
		return 0
	})
}

func (m *mount) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (m *mount) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize, out.NameLen = page, page, 255
	out.Blocks, out.Bfree, out.Bavail, out.Files, out.Ffree = 1<<28, 1<<28, 1<<28, 1<<28, 1<<28
	return fuse.OK
}

func (m *mount) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return m.in("mkdir", name, in.NodeId, func(dir *node) syscall.Errno {
		if dir.names[name] != nil {
			return syscall.EEXIST
		}
		n := m.disk.make(syscall.S_IFDIR | in.Mode&0o7777)
		m.disk.change(edit{dir, name, n})
		m.tell(n, out)
		return 0
	})
}

func (m *mount) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return m.in("unlink", name, h.NodeId, func(dir *node) syscall.Errno { return m.remove(dir, name) })
}

func (m *mount) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return m.in("rmdir", name, h.NodeId, func(dir *node) syscall.Errno {
		if n := dir.names[name]; n != nil && len(n.names) > 0 {
			return syscall.ENOTEMPTY
		}
		return m.remove(dir, name)
	})
}

func (m *mount) remove(dir *node, name string) syscall.Errno {
	if dir.names[name] == nil {
		return syscall.ENOENT
	}
	m.disk.change(edit{dir, name, nil})
	return 0
}

func (m *mount) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if in.Flags != 0 {
		return fuse.EINVAL
	}
	return m.in("rename", to, in.NodeId, func(dir *node) syscall.Errno {
		n, into := dir.names[from], m.disk.nodes[in.Newdir]
		switch {
		case n == nil || into == nil:
			return syscall.ENOENT
		case into.names[to] == n:
			return 0
		case into.names[to] != nil && len(into.names[to].names) > 0:
			return syscall.ENOTEMPTY
		}
		m.disk.change(edit{into, to, n}, edit{dir, from, nil})
		return 0
	})
}

func (m *mount) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return m.in("link", name, in.NodeId, func(dir *node) syscall.Errno {
		n := m.disk.nodes[in.Oldnodeid]
		switch {
		case n == nil:
			return syscall.ENOENT
		case dir.names[name] != nil:
			return syscall.EEXIST
		}
		m.disk.change(edit{dir, name, n})
		m.tell(n, out)
		return 0
	})
}

func (m *mount) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return m.in("create", name, in.NodeId, func(dir *node) syscall.Errno {
		n := dir.names[name]
		if n != nil && in.Flags&syscall.O_EXCL != 0 {
			return syscall.EEXIST
		}
		if n == nil {
			n = m.disk.make(syscall.S_IFREG | in.Mode&0o7777)
			m.disk.change(edit{dir, name, n})
		}
		m.opened(n, in.Flags, &out.OpenOut)
		m.tell(n, &out.EntryOut)
		return 0
	})
}

func (m *mount) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return m.in("open", "", in.NodeId, func(n *node) syscall.Errno {
		m.opened(n, in.Flags, out)
		return 0
	})
}

func (m *mount) opened(n *node, flags uint32, out *fuse.OpenOut) {
	if flags&syscall.O_TRUNC != 0 {
		n.resize(0)
	}
	out.Fh = m.handle(&handle{node: n, synced: flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0})
	out.OpenFlags = fuse.FOPEN_DIRECT_IO // so that all writes come here at once
}

func (m *mount) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n := m.at(in.Fh).node
	var got []byte
	errno := m.disk.do("read", n.path, func() syscall.Errno {
		got = buf[:copy(buf, n.data[min(int(in.Offset), len(n.data)):])]
		return 0
	})
	return fuse.ReadResultData(got), fuse.Status(errno)
}

func (m *mount) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	h := m.at(in.Fh)
	m.disk.wait(0)
	errno := m.disk.do("write", h.node.path, func() syscall.Errno {
		h.node.write(data, int(in.Offset))
		return 0
	})
	if errno == 0 && h.synced {
		errno = m.disk.sync(h.node)
	}
	return uint32(len(data)), fuse.Status(errno)
}

func (m *mount) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return fuse.Status(m.disk.sync(m.at(in.Fh).node))
}

func (m *mount) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return fuse.Status(m.disk.sync(m.at(in.Fh).node))
}

// Flush and what follows happen also as a process dies: they wait for nothing.
func (m *mount) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (m *mount) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { m.release(in.Fh) }

func (m *mount) ReleaseDir(in *fuse.ReleaseIn) { m.release(in.Fh) }

func (m *mount) release(fh uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, fh)
}

func (m *mount) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return m.in("opendir", "", in.NodeId, func(n *node) syscall.Errno {
		out.Fh = m.handle(&handle{node: n})
		return 0
	})
}

func (m *mount) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	h := m.at(in.Fh)
	return fuse.Status(m.disk.do("readdir", h.node.path, func() syscall.Errno {
		if in.Offset == 0 {
			h.listing = nil
			for _, name := range slices.Sorted(maps.Keys(h.node.names)) {
				n := h.node.names[name]
				h.listing = append(h.listing, fuse.DirEntry{Name: name, Ino: n.id, Mode: n.mode, Off: uint64(len(h.listing)) + 1})
			}
		}
		for _, e := range h.listing[min(int(in.Offset), len(h.listing)):] {
			if !out.AddDirEntry(e) {
				break
			}
		}
		return 0
	}))
}
