package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A link is the way between two processes. Everything that they say to each other
// goes over it. What a network does to a TCP connection is done to it: bytes are
// late, in one direction or in both; they wait while there is no way, and arrive when
// there is one again; the connection breaks. Bytes are never lost within a
// connection, and never change places: TCP does not do that either.
type link struct {
	from, to string // the processes; from is who connects
	target   string // where to listens
	listener net.Listener
	there    way // from from to to
	back     way
	affected atomic.Int64         // bytes that were held or late, and connections that were broken
	trap     atomic.Pointer[trap] // for what from says

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
	done   sync.WaitGroup
}

// A way is one direction of a link.
type way struct {
	mu     sync.Mutex
	shut   bool
	delay  time.Duration
	change chan struct{} // closed, and made anew, when shut changes
}

func (w *way) set(shut bool, delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut, w.delay = shut, delay
	if w.change != nil {
		close(w.change)
	}
	w.change = make(chan struct{})
}

func (w *way) state() (shut bool, delay time.Duration, change <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.change == nil {
		w.change = make(chan struct{})
	}
	return w.shut, w.delay, w.change
}

// newLink opens a way to the address at which to listens. Close it in the end.
func newLink(from, to, target string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{from: from, to: to, target: target, listener: listener, conns: map[net.Conn]struct{}{}}
	l.done.Go(l.accept)
	return l, nil
}

// addr is where the way begins.
func (l *link) addr() string { return l.listener.Addr().String() }

// busy reports whether there is a connection.
func (l *link) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns) > 0
}

func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.listener.Close()
	l.there.set(false, 0)
	l.back.set(false, 0)
	l.reset()
	l.done.Wait()
}

// reset breaks all connections.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	l.affected.Add(int64(len(l.conns)))
}

func (l *link) accept() {
	for {
		from, err := l.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", l.target)
		if err != nil || !l.add(from, to) {
			_ = from.Close()
			if err == nil {
				_ = to.Close()
			}
			continue
		}
		ended := new(atomic.Int32)
		pump := func(out, in net.Conn, w *way) {
			l.pump(out, in, w)
			if ended.Add(1) == 2 {
				l.remove(out, in)
			}
		}
		l.done.Go(func() { pump(to, from, &l.there) })
		l.done.Go(func() { pump(from, to, &l.back) })
	}
}

func (l *link) add(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	for _, c := range conns {
		l.conns[c] = struct{}{}
	}
	return true
}

func (l *link) remove(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(l.conns, c)
	}
}

// A piece is what was said at once.
type piece struct {
	data []byte
	due  time.Time
}

// pump brings what comes in out, until either end is closed. What came before the end
// arrives all the same, as it does from the kernel of a process that has died.
func (l *link) pump(out, in net.Conn, w *way) {
	pieces := make(chan piece, 1024)
	gone := make(chan struct{})
	l.done.Go(func() {
		defer close(pieces)
		for {
			buf := make([]byte, 32<<10)
			n, err := in.Read(buf)
			if n > 0 {
				shut, delay, _ := w.state()
				if shut || delay > 0 {
					l.affected.Add(int64(n))
				}
				select {
				case pieces <- piece{buf[:n], time.Now().Add(delay)}:
				case <-gone:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	defer func() {
		close(gone)
		if t, ok := out.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
		if t, ok := in.(*net.TCPConn); ok {
			_ = t.CloseRead()
		}
	}()
	for p := range pieces {
		if d := time.Until(p.due); d > 0 {
			<-time.After(d)
		}
		for shut, _, change := w.state(); shut; shut, _, change = w.state() {
			<-change
		}
		data, left := p.data, -1
		if t := l.trap.Load(); t != nil && w == &l.there {
			if c, ok := t.find(data); ok {
				t.once.Do(func() {
					t.sprung(c)
					data, left = data[:c.forward], c.more
				})
			}
		}
		if _, err := out.Write(data); err != nil {
			_ = in.Close()
			return
		}
		for left > 0 { // the rest of the message
			p, ok := <-pieces
			if !ok {
				return
			}
			n := min(left, len(p.data))
			left -= n
			if _, err := out.Write(p.data[:n]); err != nil {
				return
			}
		}
		if left == 0 {
			return
		}
	}
}
