package broker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"
)

// A laneServer is the other end of a lane, which answers as a test tells it.
type laneServer struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func newLaneServer(t *testing.T) (*lane, *laneServer) {
	t.Helper()
	ours, theirs := net.Pipe()
	s := &laneServer{t: t, conn: theirs, in: bufio.NewReader(theirs)}
	var wg sync.WaitGroup
	wg.Go(func() {
		s.say("INFO {}\r\n")
		for !strings.HasPrefix(s.line(), "PING") {
		}
		s.say("PONG\r\n")
	})
	l, err := newLane(t.Context(), ours, slog.Default())
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l, s
}

func (s *laneServer) say(text string) {
	if _, err := io.WriteString(s.conn, text); err != nil {
		s.t.Error(err)
	}
}

func (s *laneServer) line() string {
	line, err := s.in.ReadString('\n')
	if err != nil {
		s.t.Error(err)
	}
	return line
}

// published returns the reply subject and the body of what is published next.
func (s *laneServer) published() (reply, body string) {
	args := strings.Fields(s.line())
	if len(args) != 4 || args[0] != "PUB" {
		s.t.Errorf("published is %q; want PUB subject reply bytes", args)
		return "", ""
	}
	return args[2], strings.TrimRight(s.line(), "\r\n")
}

func (s *laneServer) answer(reply, body string) {
	s.say(fmt.Sprintf("MSG %s 1 %d\r\n%s\r\n", reply, len(body), body))
}

// sent is what a send ends with.
func (s *laneServer) sent(l *lane, ctx context.Context, a *ask, body string, wait time.Duration) <-chan string {
	ended := make(chan string, 1)
	go func() {
		data, err := l.send(ctx, a, &nats.Msg{Subject: "a", Data: []byte(body)}, 0, wait)
		ended <- fmt.Sprint(string(data), err)
	}()
	return ended
}

func TestLane_ALateAnswerIsNotThatOfTheNext(t *testing.T) {
	t.Parallel()
	l, s := newLaneServer(t)
	gone, cancel := context.WithCancel(t.Context())
	first := l.take()
	ended := s.sent(l, gone, first, "first", time.Hour)
	late, _ := s.published()
	cancel()
	if e := <-ended; e != "context canceled" {
		t.Fatalf("what was given up ends with %v", e)
	}
	l.give(first)
	second := l.take()
	ended = s.sent(l, t.Context(), second, "second", time.Hour)
	reply, body := s.published()
	if reply == late || body != "second" {
		t.Fatalf("the next one is %q with the reply subject %s, the one before had %s", body, reply, late)
	}
	s.answer(late, "of the first")
	s.answer(reply, "of the second")
	if e := <-ended; e != "of the second<nil>" {
		t.Errorf("the answer is %q", e)
	}
	s.answer(reply, "once more")
	l.give(second)
	s.answer(reply, "once more")
	third := l.take()
	ended = s.sent(l, t.Context(), third, "third", time.Hour)
	reply2, _ := s.published()
	s.answer(reply, "once more")
	s.answer(reply2, "of the third")
	if e := <-ended; e != "of the third<nil>" {
		t.Errorf("the answer is %q", e)
	}
	l.give(third)
	if a, b := l.take(), l.take(); a == b || len(l.asks) != 2 {
		t.Errorf("two are the same, or there are %d; want 2", len(l.asks))
	}
}

func TestLane_AnAnswerToAnEarlierAttemptCounts(t *testing.T) {
	t.Parallel()
	l, s := newLaneServer(t)
	a := l.take()
	for _, between := range []bool{true, false} {
		ended := s.sent(l, t.Context(), a, "x", time.Millisecond)
		reply, _ := s.published()
		if e := <-ended; e != errNoAnswer.Error() {
			t.Fatalf("without an answer: %v", e)
		}
		if between {
			s.answer(reply, "of the first")
			s.say("PING\r\n")
			if pong := s.line(); pong != "PONG\r\n" { // the answer has been read by now
				t.Fatalf("a ping is answered by %q", pong)
			}
			// What has come is the answer: nothing is sent again, so nothing else can come.
			if e := <-s.sent(l, t.Context(), a, "x", time.Hour); e != "of the first<nil>" {
				t.Errorf("the answer is %q", e)
			}
			continue
		}
		ended = s.sent(l, t.Context(), a, "x", time.Hour)
		if again, _ := s.published(); again != reply {
			t.Fatalf("sent again with another reply subject, %s", again)
		}
		s.answer(reply, "late")
		if e := <-ended; e != "late<nil>" {
			t.Errorf("the answer is %q", e)
		}
	}
	l.give(a)
}

// An ask that nobody answers is used again, with another reply subject.
func TestLane_WhatIsNotAnsweredIsNotKept(t *testing.T) {
	t.Parallel()
	l, s := newLaneServer(t)
	replies := map[string]bool{}
	for range 100 {
		a := l.take()
		ended := s.sent(l, t.Context(), a, "x", time.Millisecond)
		reply, _ := s.published()
		replies[reply] = true
		<-ended
		l.give(a)
	}
	if len(l.asks) != 1 || len(l.idle) != 1 || len(replies) != 100 {
		t.Errorf("100 without an answer leave %d, of which %d are idle, and had %d reply subjects; want 1, 1, 100", len(l.asks), len(l.idle), len(replies))
	}
}

func TestLane_WhenTheServerDoesNotReadTheUsualConnectionWaits(t *testing.T) {
	t.Parallel()
	l, _ := newLaneServer(t)
	large := &nats.Msg{Subject: "a", Data: make([]byte, 1<<20)}
	for sent := 0; ; sent++ {
		if _, ok := l.carries(large); !ok {
			break
		}
		if l.publish(large, []byte("r"), 0); sent > 2*outMax>>20 {
			t.Fatalf("%d MB wait to be sent", sent)
		}
	}
}

func TestLane_WhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]string{
		"an error":             "-ERR 'Permissions Violation'\r\n",
		"another protocol":     "HTTP/1.1 400 Bad Request\r\n",
		"a line without end":   strings.Repeat("x", 100<<10),
		"a size that is none":  "MSG PREFIX0-1 1 -1\r\n\r\n",
		"headers over the end": "HMSG PREFIX0-1 1 5 2\r\n\r\n\r\n",
		"the end":              "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, s := newLaneServer(t)
			a := l.take()
			ended := make(chan error)
			go func() {
				_, err := l.send(t.Context(), a, &nats.Msg{Subject: "a"}, 0, time.Hour)
				ended <- err
			}()
			s.published()
			go func() {
				if say == "" {
					_ = s.conn.Close()
					return
				}
				_, _ = io.WriteString(s.conn, strings.ReplaceAll(say, "PREFIX", l.prefix)) // as far as it is read
			}()
			if err := <-ended; err != errLost {
				t.Errorf("who waits is told %v; want errLost", err)
			}
			if _, ok := l.carries(&nats.Msg{Subject: "a"}); ok {
				t.Error("the lane goes on")
			}
		})
	}
}

// What is sent to the lane by somebody else harms nobody.
func TestLane_WhatIsNoAnswerIsDropped(t *testing.T) {
	t.Parallel()
	l, s := newLaneServer(t)
	a := l.take()
	ended := s.sent(l, t.Context(), a, "x", time.Hour)
	reply, _ := s.published()
	for _, said := range []string{
		"MSG foo 1 0\r\n\r\n", "MSG PREFIX9-1 1 1\r\nx\r\n", "MSG PREFIX0-9 1 1\r\nx\r\n", "MSG PREFIX0 1 1\r\nx\r\n", "MSG PREFIXx-1 1 1\r\nx\r\n",
		"MSG PREFIX0-2 1 to.somebody 1\r\nx\r\n", "HMSG PREFIX0-2 1 to.somebody 12 13\r\nNATS/1.0\r\n\r\nx\r\n",
		"MSG PREFIX0-1 1 100000\r\n" + strings.Repeat("x", 100000) + "\r\n",
	} {
		s.say(strings.ReplaceAll(said, "PREFIX", l.prefix))
	}
	s.say("HMSG " + reply + " 1 12 14\r\nNATS/1.0\r\n\r\nit\r\n")
	if e := <-ended; e != "it<nil>" {
		t.Errorf("the answer is %q", e)
	}
	l.give(a)
}

// What is published over the lane is stored as over the usual connection.
func TestLane_StoresWhatWasSent(t *testing.T) {
	t.Parallel()
	b := openAt(t, t.TempDir(), func(c *Config) { c.Durability = Process })
	js, err := b.link.nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "T", Subjects: []string{"t.>"}}); err != nil {
		t.Fatal(err)
	}
	usual := &publisher{link: b.link, mux: b.mux}
	carried := 0
	rapid.Check(t, func(rt *rapid.T) {
		header, plain := nats.Header{}, rapid.Bool().Draw(rt, "plain") // which are carried, so that enough are
		for range rapid.IntRange(0, 4).Draw(rt, "headers") {
			key, value := rapid.StringMatching(`[A-Za-z][A-Za-z0-9-]{0,20}`), rapid.StringMatching(`[a-z0-9:]{0,20}`)
			if !plain {
				key, value = rapid.OneOf(key, rapid.StringN(0, 5, 20)), rapid.OneOf(rapid.StringMatching(`[a-z0-9 äß:]{0,20}`), rapid.StringN(0, 5, 20))
			}
			header[key.Draw(rt, "key")] = rapid.SliceOfN(value, 0, 2).Draw(rt, "values")
		}
		msg := &nats.Msg{Subject: "t." + rapid.StringMatching(`[a-z]{1,300}`).Draw(rt, "subject"), Header: header, Data: rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(rt, "data")}
		if _, ok := b.pub.lane.carries(msg); !ok {
			return
		}
		carried++
		var got [2]*nats.RawStreamMsg
		for i, p := range []*publisher{b.pub, usual} {
			a, err := p.publish(t.Context(), msg)
			if err != nil {
				rt.Fatal(err)
			}
			if got[i], err = js.GetMsg("T", a.seq); err != nil {
				rt.Fatal(err)
			}
		}
		if got[0].Subject != msg.Subject || !bytes.Equal(got[0].Data, msg.Data) || fmt.Sprint(got[0].Header) != fmt.Sprint(got[1].Header) {
			rt.Errorf("stored is %q %v, %d bytes; over the usual connection %q %v, %d bytes", got[0].Subject, got[0].Header, len(got[0].Data), got[1].Subject, got[1].Header, len(got[1].Data))
		}
	})
	if carried < 20 {
		t.Errorf("the lane carried %d of 100 messages", carried)
	}
	for name, msg := range map[string]*nats.Msg{
		"too large":      {Subject: "t.x", Data: make([]byte, 2<<20)},
		"without a name": {Subject: "t.x", Header: nats.Header{"a b": {"c"}}},
		"a second line":  {Subject: "t.x", Header: nats.Header{"a": {"b\r\nc: d"}}},
		"a long subject": {Subject: "t." + strings.Repeat("x", 5000)},
		"two subjects":   {Subject: "t.x y"},
	} {
		if _, ok := b.pub.lane.carries(msg); ok {
			t.Errorf("%s: the lane carries it", name)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := b.pub.publish(short, &nats.Msg{Subject: "nobody.listens"}); !errors.Is(err, errNoResponders) {
		t.Errorf("where nobody listens: %v", err)
	}
	long, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := b.pub.publish(long, &nats.Msg{Subject: "t.x", Data: make([]byte, 2<<20)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v; want ErrTooLarge", err)
	}
}

func TestLane_WhenItBreaksTheUsualConnectionIsUsed(t *testing.T) {
	t.Parallel()
	b := openAt(t, t.TempDir(), func(c *Config) { c.Durability = Process })
	var after uint64
	for i := range 200 {
		if i == 100 { // in the middle of an append, or between two
			go func() { _ = b.pub.lane.conn.Close() }()
		}
		out, err := appendOne(t.Context(), b, "k", after)
		if err != nil || out.Fenced {
			t.Fatalf("append %d: %+v, %v", i, out, err)
		}
		after = out.Seq
	}
	<-b.pub.lane.lost
	if _, err := appendOne(t.Context(), b, "k", after); err != nil {
		t.Error(err)
	}
}

func TestLane_CloseEndsWhoWaits(t *testing.T) {
	t.Parallel()
	b := openAt(t, t.TempDir(), func(c *Config) { c.Durability = Process })
	l, s := newLaneServer(t)
	p := &publisher{link: b.link, mux: b.mux, lane: l}
	ended := make(chan error)
	go func() {
		_, err := p.publish(t.Context(), &nats.Msg{Subject: "a"})
		ended <- err
	}()
	s.published()
	b.link.close()
	l.close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("who waits when it is closed is told %v; want ErrClosed", err)
	}
}

func FuzzLane_Read(f *testing.F) {
	for _, text := range []string{"MSG p.0-1 1 2\r\n{}\r\n", "MSG p.0-1 1 x 2\r\n{}\r\n", "HMSG p.0-1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", "PING\r\nPONG\r\n+OK\r\nINFO {}\r\n", "-ERR 'x'\r\n", "MSG p.99999999999999999999-1 1 2\r\n", "HMSG p.0-1 1 3 2\r\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		l := &lane{prefix: "p."}
		l.out.any = make(chan struct{}, 1)
		a := l.take()
		a.waiting = true
		if err := l.read(bufio.NewReader(bytes.NewReader(said))); err == nil {
			t.Fatal("it goes on behind the end")
		}
		if len(a.ch) == 1 && !bytes.Contains(said, a.data) {
			t.Errorf("%q is read as the answer %q", said, a.data)
		}
		if bytes.Equal(said, []byte("MSG p.0-1 1 2\r\n{}\r\n")) && (len(a.ch) != 1 || string(a.data) != "{}" || a.nobody) {
			t.Errorf("the answer is %q", a.data)
		}
		if bytes.HasPrefix(said, []byte("HMSG p.0-1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")) && !a.nobody {
			t.Error("it does not see that nobody listens")
		}
	})
}
