package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The short form of `make chaos`: a fixed seed, and the faults that matter most.
func TestChaos_Short(t *testing.T) {
	c := config{seed: 1, lasts: 12 * time.Second, dir: t.TempDir(), faults: "kill-node,kill-node-at,pause-node,kill-nats,cut"}
	v, err := run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	v.print(&said)
	t.Logf("%s%s", said.String(), v.line(c.seed))
	if !v.failed() {
		return
	}
	if kept, err := os.MkdirTemp("", "chaos"); err == nil {
		if err := os.CopyFS(kept, os.DirFS(c.dir)); err == nil {
			t.Logf("its history, and what the processes said, is in %s", kept)
		}
	}
	t.Error("something is wrong")
}

// Each broken build can still be made of what the code is now.
func TestBreakages_Apply(t *testing.T) {
	clock, err := clockEdits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breakages {
		if _, err := overlay(t.TempDir(), slices.Concat(b.edits, clock)); err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
	}
}

// echo answers each line, and ends with the test.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func linked(t *testing.T) (*link, net.Conn, func() string) {
	t.Helper()
	l, err := newLink("a", "b", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	c, err := net.Dial("tcp", l.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	r := bufio.NewReader(c)
	return l, c, func() string {
		s, err := r.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(s)
	}
}

// What is said while a way is shut arrives when it is open again, and in order.
func TestLink_WhatIsSaidMeanwhileArrives(t *testing.T) {
	for _, way := range []string{"there", "back"} {
		l, c, read := linked(t)
		fmt.Fprintln(c, "before")
		if got := read(); got != "before" {
			t.Fatalf("%s: %q", way, got)
		}
		w := &l.there
		if way == "back" {
			w = &l.back
		}
		w.set(true, 0)
		fmt.Fprintln(c, "meanwhile")
		if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if got := read(); !strings.Contains(got, "timeout") {
			t.Errorf("%s: %q came while the way was shut", way, got)
		}
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(c, "and then")
		w.set(false, 0)
		if a, b := read(), read(); a != "meanwhile" || b != "and then" {
			t.Errorf("%s: %q and %q came, in place of what was said meanwhile", way, a, b)
		}
		if l.affected.Load() == 0 {
			t.Errorf("%s: it is not known that anything was held", way)
		}
	}
}

func TestLink_SlowAndBroken(t *testing.T) {
	l, c, read := linked(t)
	const delay = 50 * time.Millisecond
	l.there.set(false, delay)
	l.back.set(false, delay)
	began := time.Now()
	fmt.Fprintln(c, "slow")
	if got := read(); got != "slow" || time.Since(began) < 2*delay {
		t.Errorf("%q came after %s, want it after %s", got, time.Since(began), 2*delay)
	}
	l.reset()
	if got := read(); !strings.Contains(got, "reset") && !strings.Contains(got, "EOF") {
		t.Errorf("%q came over a connection that was broken", got)
	}
}

// A trap ends what a node says at a message of it.
func TestTrap_EndsAtItsMessage(t *testing.T) {
	ping, ack := "PING\r\n", "PUB $JS.ACK.x 4\r\n+ACK\r\n"
	run := "HPUB perdure.run.p.k.y.i _R_.1 30 32\r\nNATS/1.0\r\nNats-Rollup: sub\r\n\r\nhi\r\n"
	all := ping + run + ack
	for _, x := range []struct {
		pattern string
		after   bool
		piece   string
		arrives string
		more    int
	}{
		{"PUB perdure.run.", false, all, ping, 0},
		{"PUB perdure.run.", true, all, ping + run, 0},
		{"\r\nNats-Rollup: sub", false, all, ping, 0},
		{"\r\nNats-Rollup: sub", true, all, ping + run, 0},
		{"PUB $JS.ACK.", true, all, all, 0},
		{"PUB perdure.run.", true, all[:len(ping)+50], all[:len(ping)+50], len(run) - 50},
	} {
		tr := trap{pattern: x.pattern, after: x.after}
		c, ok := tr.find([]byte(x.piece))
		if !ok || x.piece[:c.forward] != x.arrives || c.more != x.more {
			t.Errorf("%q, after=%t: %t, %q arrives and %d bytes more; want %q and %d", x.pattern, x.after, ok, x.piece[:c.forward], c.more, x.arrives, x.more)
		}
	}
	if _, ok := (&trap{pattern: "PUB $KV."}).find([]byte(all)); ok {
		t.Error("a trap springs at another message")
	}
}

// A history can be read again, and comes to the same.
func TestHistory_IsReadAgain(t *testing.T) {
	path := t.TempDir() + "/history"
	h, err := newHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range good() {
		h.add(e)
	}
	kept, err := h.close()
	if err != nil {
		t.Fatal(err)
	}
	again, err := readHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	a, b := judge(kept), judge(again)
	if a.line(1) != b.line(1) || a.failed() {
		var said bytes.Buffer
		a.print(&said)
		t.Errorf("the history is\n%s\nand read again\n%s\n%s", a.line(1), b.line(1), said.String())
	}
}
