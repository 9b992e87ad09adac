package broker

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Async syncs are fsyncs for which no thread of ours waits. A thread in a system call
// keeps its processor from other goroutines until Go's monitor notices, which takes
// some twenty microseconds and more: of two processors one did nothing for much of the
// time of an fsync. So the kernel is asked for it (io_submit(2) with IOCB_CMD_FSYNC,
// Linux 4.18), and tells of its end by an event that Go's poller waits for.
type asyncSyncs struct {
	log *slog.Logger

	mu     sync.Mutex
	idle   []*asyncSync
	none   bool // the kernel, or who guards it, does not take them
	closed bool
}

// An asyncSync is one fsync at a time.
type asyncSync struct {
	ctx   uintptr  // of the kernel
	event *os.File // an eventfd: readable when the fsync has ended
	asked iocb     // the one that was begun last
}

// sync is [os.File.Sync].
func (s *asyncSyncs) sync(f *os.File) error {
	a := s.take()
	if a == nil {
		return f.Sync()
	}
	if err := a.begin(f); err != nil {
		if forEver(err) {
			s.giveUp(a, err)
		} else {
			s.give(a)
		}
		return f.Sync()
	}
	known, err := a.end(f)
	if known {
		s.give(a)
	} else {
		s.giveUp(a, err)
	}
	return err
}

// forEver reports whether the kernel, or who guards it, would say so each time; there
// may be too many files, or too many fsyncs, only now.
func forEver(err error) bool {
	return errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL) || errors.Is(err, os.ErrNoDeadline)
}

// take returns nil where an fsync is to be waited for.
func (s *asyncSyncs) take() *asyncSync {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.none || s.closed {
		return nil
	}
	if n := len(s.idle); n > 0 {
		a := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return a
	}
	a, err := newAsyncSync()
	if err != nil && forEver(err) {
		s.none = true
		s.log.Info(noAsync, "why", err)
	}
	return a
}

const noAsync = "fsyncs are waited for by threads, which is slower where many run"

func (s *asyncSyncs) give(a *asyncSync) {
	s.mu.Lock()
	keep := !s.none && !s.closed
	if keep {
		s.idle = append(s.idle, a)
	}
	s.mu.Unlock()
	if !keep {
		a.close()
	}
}

// giveUp ends one that did not do what it is to, and takes no more.
func (s *asyncSyncs) giveUp(a *asyncSync, why error) {
	s.mu.Lock()
	s.none = true
	s.mu.Unlock()
	s.log.Info(noAsync, "why", why)
	a.close()
}

// close lets go of what there is. An fsync that has begun ends as it would have.
func (s *asyncSyncs) close() {
	s.mu.Lock()
	s.closed = true
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, a := range idle { // at once: each waits for the kernel's processors
		wg.Go(a.close)
	}
	wg.Wait()
}

func newAsyncSync() (*asyncSync, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	a := &asyncSync{event: os.NewFile(uintptr(fd), "eventfd"), asked: iocb{opcode: iocbFsync, flags: iocbHasEvent, event: uint32(fd)}}
	if err := a.event.SetReadDeadline(time.Time{}); err != nil { // Go's poller does not wait for it
		return nil, errors.Join(err, a.event.Close())
	}
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&a.ctx)), 0); errno != 0 {
		return nil, errors.Join(os.NewSyscallError("io_setup", errno), a.event.Close())
	}
	return a, nil
}

// close waits for what is in flight.
func (a *asyncSync) close() {
	_, _, _ = unix.Syscall(unix.SYS_IO_DESTROY, a.ctx, 0, 0) // it fails only for a ctx that is none
	_ = a.event.Close()                                      // nothing is read of it any more
}

// An iocb is the kernel's struct iocb (linux/aio_abi.h).
type iocb struct {
	number uint64 // comes back with the event
	_      uint64 // flags
	opcode uint16
	_      int16 // priority
	fd     uint32
	_      [4]uint64 // where, how much and from where; nothing for an fsync
	flags  uint32
	event  uint32
}

const (
	iocbFsync    = 2 // IOCB_CMD_FSYNC
	iocbHasEvent = 1 // IOCB_FLAG_RESFD
)

// An ioEvent is the kernel's struct io_event.
type ioEvent struct {
	number uint64
	_      uint64
	res    int64
	_      int64
}

// begin asks for the fsync of f. It was not begun if there is an error.
func (a *asyncSync) begin(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = conn.Control(func(fd uintptr) {
		a.asked.number++
		a.asked.fd = uint32(fd)
		cb := &a.asked
		_, _, errno = unix.Syscall(unix.SYS_IO_SUBMIT, a.ctx, 1, uintptr(unsafe.Pointer(&cb)))
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("io_submit", errno)
	}
	return err
}

// end waits for what begin has begun. Known is false if it is not known what came of
// it: that is an error of the fsync, and it may still be under way.
func (a *asyncSync) end(f *os.File) (known bool, err error) {
	unknown := func(err error) (bool, error) {
		return false, &os.PathError{Op: "wait for the fsync of", Path: f.Name(), Err: err}
	}
	var count [8]byte
	if _, err := a.event.Read(count[:]); err != nil {
		return unknown(err)
	}
	var ev ioEvent
	for {
		n, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, a.ctx, 1, 1, uintptr(unsafe.Pointer(&ev)), 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return unknown(os.NewSyscallError("io_getevents", errno))
		case n != 1 || ev.number != a.asked.number:
			return unknown(errors.New("the kernel tells of another one"))
		case ev.res < 0:
			return true, &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.Errno(-ev.res)}
		}
		return true, nil
	}
}
