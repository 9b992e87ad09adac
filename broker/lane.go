package broker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A lane is a connection of our own to the embedded server for what every run sends:
// what is stored in streams, acknowledgements of tasks, and for the answers. It speaks
// as much of the protocol of NATS clients as that needs: an answer goes from the
// goroutine that reads it to whoever waits, and neither it nor what was published is
// made into a message in between.
//
// A lane that breaks stays so, and the usual connection is used.
type lane struct {
	conn   net.Conn
	log    *slog.Logger
	prefix string        // of reply subjects, with its last dot
	max    int           // bytes of headers and body
	lost   chan struct{} // closed when the lane is broken or closed
	wg     sync.WaitGroup

	out struct {
		sync.Mutex
		buf []byte        // what write sends next
		any chan struct{} // poked when there is some
	}

	mu   sync.Mutex
	asks []*ask
	idle []*ask
}

// An ask is what is sent, once or again, and its answer.
type ask struct {
	index   int
	ch      chan struct{} // holds a token once an answer is there: nobody writes it then
	timer   *time.Timer
	use     uint64 // how often it was taken; guarded by lane.mu
	reply   []byte // subject of this use: what comes for an earlier one is nobody's answer
	waiting bool   // for an answer; guarded by lane.mu

	// Of the answer.
	data   []byte
	nobody bool // nobody listens on the subject
}

// laneInbox begins the lane's reply subjects.
const laneInbox = "_PERDURE."

// lineMax is how long a line of the protocol may be, by the server's default.
const lineMax = server.MAX_CONTROL_LINE_SIZE

func newLane(ctx context.Context, conn net.Conn, log *slog.Logger) (*lane, error) {
	l := &lane{
		conn: conn, log: log, prefix: laneInbox + strconv.FormatUint(rand.Uint64(), 36) + ".",
		max: server.MAX_PAYLOAD_SIZE, lost: make(chan struct{}),
	}
	l.out.any = make(chan struct{}, 1)
	in := bufio.NewReaderSize(conn, 64<<10)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err := l.greet(in)
	if !stop() { // it is why the connection was closed
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the embedded NATS server: %w", err), conn.Close())
	}
	l.wg.Go(func() { l.end(l.read(in)) })
	l.wg.Go(func() { l.end(l.write()) })
	return l, nil
}

// greet makes the connection ready for use.
func (l *lane) greet(in *bufio.Reader) error {
	if _, err := in.ReadSlice('\n'); err != nil { // INFO
		return err
	}
	const connect = `CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1,"lang":"go","name":"perdure lane"}`
	if _, err := l.conn.Write([]byte(connect + "\r\nSUB " + l.prefix + "* 1\r\nPING\r\n")); err != nil {
		return err
	}
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(line, []byte("PONG")):
			return nil
		case bytes.HasPrefix(line, []byte("-ERR")):
			return fmt.Errorf("the server says %q", bytes.TrimSpace(line))
		}
	}
}

// close ends the lane, and every wait for an answer.
func (l *lane) close() {
	if l == nil {
		return
	}
	l.end(nil)
	l.wg.Wait()
}

// end ends the lane by err, or because it is closed.
func (l *lane) end(err error) {
	l.mu.Lock()
	ended := isClosed(l.lost)
	closeOnce(l.lost)
	l.mu.Unlock()
	if ended {
		return
	}
	_ = l.conn.Close() // which ends read and write
	l.out.Lock()
	l.out.buf = nil
	l.out.Unlock()
	if err != nil {
		l.log.Warn("the lane to the embedded NATS server broke; the usual connection is used", "error", err)
	}
}

// take returns an ask, for which give is to be called.
func (l *lane) take() *ask {
	l.mu.Lock()
	defer l.mu.Unlock()
	var a *ask
	if n := len(l.idle); n > 0 {
		a, l.idle = l.idle[n-1], l.idle[:n-1]
	} else {
		a = &ask{index: len(l.asks), ch: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
		a.timer.Stop()
		l.asks = append(l.asks, a)
	}
	a.use++
	a.reply = append(a.reply[:0], l.prefix...)
	a.reply = strconv.AppendInt(a.reply, int64(a.index), 10)
	a.reply = append(a.reply, '-')
	a.reply = strconv.AppendUint(a.reply, a.use, 10)
	return a
}

func (l *lane) give(a *ask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.waiting = false
	select { // an answer that nobody took
	case <-a.ch:
	default:
	}
	l.idle = append(l.idle, a)
}

// send publishes msg, whose headers have this many bytes, and waits for an answer for
// at most wait: its body, which is valid until the ask sends again or is given back.
// The answer to what it sent before counts, too.
func (l *lane) send(ctx context.Context, a *ask, msg *nats.Msg, headers int, wait time.Duration) ([]byte, error) {
	l.mu.Lock()
	if len(a.ch) > 0 { // it came when nobody waited any more
		l.mu.Unlock()
		<-a.ch
		return a.answer()
	}
	a.waiting = true
	l.mu.Unlock()
	l.publish(msg, a.reply, headers)
	a.timer.Reset(wait)
	defer a.timer.Stop()
	select {
	case <-a.ch:
		return a.answer()
	case <-l.lost:
		return nil, errLost
	case <-a.timer.C:
		return nil, errNoAnswer
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *ask) answer() ([]byte, error) {
	if a.nobody {
		return nil, errNoResponders
	}
	return a.data, nil
}

func (l *lane) publish(msg *nats.Msg, reply []byte, headers int) {
	l.out.Lock()
	l.out.buf = appendPublish(l.out.buf, msg, reply, headers)
	l.out.Unlock()
	poke(l.out.any)
}

const headerLine = "NATS/1.0\r\n"

// carries returns how many bytes the headers of msg have as they are sent. Ok is false
// if msg is not for the lane: it is broken, or the server does not read, or msg is not
// valid as it is, of which the usual connection says what is to be said.
func (l *lane) carries(msg *nats.Msg) (headers int, ok bool) {
	if l == nil || isClosed(l.lost) || l.full() {
		return 0, false
	}
	for k, vs := range msg.Header {
		if len(vs) == 0 || k == "" || strings.ContainsFunc(k, notInHeaderKey) {
			return 0, false
		}
		for _, v := range vs {
			if strings.ContainsAny(v, "\r\n") || v != strings.TrimSpace(v) {
				return 0, false
			}
			headers += len(k) + len(": ") + len(v) + len("\r\n")
		}
	}
	if headers > 0 {
		headers += len(headerLine) + len("\r\n")
	}
	const others = 128 // verb, reply subject, sizes
	if headers+len(msg.Data) > l.max || len(msg.Subject) > lineMax-others || msg.Subject == "" || strings.ContainsAny(msg.Subject, " \t\r\n") {
		return 0, false
	}
	return headers, true
}

// outMax is how many bytes wait for the server to read, and a message of each goroutine
// that looked before, at most.
const outMax = 16 << 20

func (l *lane) full() bool {
	l.out.Lock()
	defer l.out.Unlock()
	return len(l.out.buf) > outMax
}

func notInHeaderKey(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
}

// appendPublish appends PUB subject reply bytes, or HPUB subject reply bytes of headers,
// all bytes.
func appendPublish(b []byte, msg *nats.Msg, reply []byte, headers int) []byte {
	b = slices.Grow(b, headers+len(msg.Data)+len(msg.Subject)+len(reply)+64)
	if headers > 0 {
		b = append(b, 'H')
	}
	b = append(b, "PUB "...)
	b = append(b, msg.Subject...)
	b = append(b, ' ')
	b = append(b, reply...)
	b = append(b, ' ')
	if headers > 0 {
		b = strconv.AppendInt(b, int64(headers), 10)
		b = append(b, ' ')
	}
	b = strconv.AppendInt(b, int64(headers+len(msg.Data)), 10)
	b = append(b, "\r\n"...)
	if headers > 0 {
		b = append(b, headerLine...)
		for k, vs := range msg.Header {
			for _, v := range vs {
				b = append(b, k...)
				b = append(b, ": "...)
				b = append(b, v...)
				b = append(b, "\r\n"...)
			}
		}
		b = append(b, "\r\n"...)
	}
	b = append(b, msg.Data...)
	return append(b, "\r\n"...)
}

// write sends what is published: all at once that came while it sent.
func (l *lane) write() error {
	var sent []byte
	for {
		select {
		case <-l.out.any:
		case <-l.lost:
			return nil
		}
		l.out.Lock()
		b := l.out.buf
		l.out.buf = sent[:0]
		l.out.Unlock()
		if sent = b; len(b) == 0 { // sent with what was before
			continue
		}
		if _, err := l.conn.Write(b); err != nil {
			return err
		}
		if cap(sent) > 1<<20 { // after large messages
			sent = nil
		}
	}
}

// read hands answers to those who wait, until the connection ends.
func (l *lane) read(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		verb, args, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" "))
		switch string(verb) {
		case "MSG", "HMSG":
			if err := l.answer(in, args, len(verb) == len("HMSG")); err != nil {
				return err
			}
		case "PING":
			l.out.Lock()
			l.out.buf = append(l.out.buf, "PONG\r\n"...)
			l.out.Unlock()
			poke(l.out.any)
		case "-ERR":
			return fmt.Errorf("the server says %q", args)
		case "INFO", "PONG", "+OK":
		default:
			return fmt.Errorf("the server says %.60q, which is none of its verbs", line)
		}
	}
}

// answer reads one whose line is subject, number of the subscription, perhaps a reply
// subject, bytes of headers if it has some, all bytes. What is not the answer to an ask
// is dropped.
func (l *lane) answer(in *bufio.Reader, args []byte, hasHeader bool) error {
	subject, rest, _ := bytes.Cut(args, []byte(" "))
	rest, last := cutLast(rest)
	size, err := strconv.ParseUint(string(last), 10, 31)
	begin := uint64(0)
	if hasHeader && err == nil {
		_, last = cutLast(rest)
		begin, err = strconv.ParseUint(string(last), 10, 31)
	}
	if err != nil || begin > size {
		return fmt.Errorf("the server announces a message by %.80q", args)
	}
	const end = len("\r\n")
	if index, use, ok := l.asked(subject); ok && int(size) <= in.Size()-end {
		body, err := in.Peek(int(size) + end)
		if err != nil {
			return err
		}
		l.hand(index, use, body[:begin], body[begin:size])
	}
	_, err = in.Discard(int(size) + end)
	return err
}

func cutLast(args []byte) (before, last []byte) {
	i := bytes.LastIndexByte(args, ' ')
	return args[:max(i, 0)], args[i+1:]
}

// asked reads a reply subject.
func (l *lane) asked(subject []byte) (index, use uint64, ok bool) {
	numbers, mine := bytes.CutPrefix(subject, []byte(l.prefix))
	i, u, _ := bytes.Cut(numbers, []byte("-"))
	index, err1 := strconv.ParseUint(string(i), 10, 31)
	use, err2 := strconv.ParseUint(string(u), 10, 64)
	return index, use, mine && err1 == nil && err2 == nil
}

// hand gives an answer to whoever waits for it.
func (l *lane) hand(index, use uint64, header, body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index >= uint64(len(l.asks)) {
		return
	}
	a := l.asks[index]
	if !a.waiting || a.use != use {
		return
	}
	a.waiting = false
	a.nobody = len(body) == 0 && bytes.HasPrefix(header, []byte("NATS/1.0 503"))
	a.data = append(a.data[:0], body...)
	poke(a.ch)
}
