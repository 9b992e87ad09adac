package broker

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// What the server says of its own recovery after a kill does not read like a
// loss of data; everything else that it warns of is a warning.
func TestServerLog_RecoveryAfterAKillIsNoWarning(t *testing.T) {
	for _, tt := range []struct {
		format string
		v      []any
		want   string
	}{
		{"Filestore [perdure_RUNS] Stream state outdated, last block has additional entries, will rebuild", nil, "level=DEBUG msg=\"nats: Filestore [perdure_RUNS] Stream state outdated, last block has additional entries, will rebuild\"\n"},
		{"Filestore [perdure_RUNS] Recovering stream state from index errored: %v", []any{"prior state file"}, "level=DEBUG msg=\"nats: Filestore [perdure_RUNS] Recovering stream state from index errored: prior state file\"\n"},
		{"Filestore [perdure_RUNS] Stream state detected prior state, could not locate msg block %d", []any{3}, "level=INFO msg=\"nats: Filestore [perdure_RUNS] Stream state detected prior state, could not locate msg block 3 (after a kill this is ordinary: the stream's index is older than its files of messages, and is made anew from them)\"\n"},
		{"Filestore [perdure_RUNS] Recovering stream state from index errored: %v", []any{"corrupt state file"}, "level=WARN msg=\"nats: Filestore [perdure_RUNS] Recovering stream state from index errored: corrupt state file\"\n"},
		{"Filestore [perdure_RUNS] Stream state checksum did not match", nil, "level=WARN msg=\"nats: Filestore [perdure_RUNS] Stream state checksum did not match\"\n"},
	} {
		var out bytes.Buffer
		newServerLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))).Warnf(tt.format, tt.v...)
		if out.String() != tt.want {
			t.Errorf("it is logged as %swant %s", out.String(), tt.want)
		}
	}
}

// What a server says again and again is logged once a minute, with how often it was said,
// and what it says of another thing is not left out for that.
func TestServerLog_RepeatsAreCounted(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	l := newServerLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	l.now = func() time.Time { return now }
	unreached := func(attempt, port int) {
		l.Errorf("Error trying to connect to route (attempt %v): %v", attempt, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: port}, Err: errors.New("connection refused")})
	}
	for attempt := range 30 {
		unreached(attempt+1, 1)
		l.Warnf("stream %s has NO quorum, stalled", fmt.Sprint(attempt))
		now = now.Add(time.Second)
	}
	l.Errorf("127.0.0.1:5 - rid:6 - %s", "broken")
	l.Errorf("127.0.0.1:7 - rid:8 - %s", "broken")
	unreached(1, 2)
	if got := strings.Join(l.unreached(), ","); !strings.Contains(got, "10.0.0.1:1") || !strings.Contains(got, "10.0.0.1:2") {
		t.Errorf("not reached are %s", got)
	}
	now = now.Add(time.Minute)
	unreached(31, 1)
	l.close()
	if got := l.unreached(); len(got) != 1 || got[0] != "10.0.0.1:1" {
		t.Errorf("a minute later not reached are %s", got)
	}
	want := []string{
		`level=INFO msg="nats: Error trying to connect to route (attempt 1): dial tcp 10.0.0.1:1: connection refused"`,
		`level=WARN msg="nats: stream 0 has NO quorum, stalled"`,
		`level=ERROR msg="nats: 127.0.0.1:5 - rid:6 - broken"`,
		`level=INFO msg="nats: Error trying to connect to route (attempt 1): dial tcp 10.0.0.1:2: connection refused"`,
		`(the last of 29 like it since 12:00:00)`, `(the last of 29 like it since 12:00:00)`, `(the last of 1 like it since 12:00:30)`,
	}
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, w := range want {
		if i >= len(got) || !strings.Contains(got[i], w) {
			t.Errorf("line %d is not %s:\n%s", i+1, w, out.String())
		}
	}
	if len(got) != len(want)+1 { // and once more the address that is still not reached
		t.Errorf("%d lines:\n%s", len(got), out.String())
	}
}
