package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A serverLog hands the server's warnings and errors to slog, and drops the rest. Of
// those that say the same of many things, or again and again, it hands on one a minute,
// and then says how many there were.
type serverLog struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	told   map[string]*told
	routes map[string]time.Time // when a server was last not reached, by its address

	twin  chan struct{} // closed when a server of the cluster has called that has this one's name
	twins sync.Once
}

// logAgain is for how long what was said is not said again.
const logAgain = time.Minute

// told is what was said, and how often it would have been since.
type told struct {
	at    time.Time
	level slog.Level
	text  string // the last one
	more  int
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log, now: time.Now, told: map[string]*told{}, routes: map[string]time.Time{}, twin: make(chan struct{})}
}

// say logs text, unless key was said within a minute.
func (l *serverLog) say(level slog.Level, key, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.flush(now.Add(-logAgain))
	if t := l.told[key]; t != nil {
		t.more++
		t.level, t.text = level, text
		return
	}
	l.told[key] = &told{at: now}
	l.log.Log(context.Background(), level, "nats: "+text)
}

// flush says how often things were said that were said first at or before a time. Those that go on
// count anew from now.
func (l *serverLog) flush(until time.Time) {
	byAge := slices.SortedFunc(maps.Keys(l.told), func(a, b string) int { return l.told[a].at.Compare(l.told[b].at) })
	for _, key := range byAge {
		t := l.told[key]
		switch {
		case t.at.After(until):
		case t.more == 0:
			delete(l.told, key)
		default:
			l.log.Log(context.Background(), t.level, fmt.Sprintf("nats: %s (the last of %d like it since %s)", t.text, t.more, t.at.UTC().Format(time.TimeOnly)))
			l.told[key] = &told{at: l.now()}
		}
	}
}

// close says what is not said yet.
func (l *serverLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush(l.now())
}

// unreached returns the addresses of servers of the cluster that were not reached lately.
func (l *serverLog) unreached() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for address, at := range l.routes {
		if l.now().Sub(at) < routeLately {
			all = append(all, address)
		}
	}
	return all
}

// routeLately is a while within which the server tries each route that is missing, one
// that does not answer, too.
const routeLately = 5 * time.Second

// Warnf is quiet about what every server says that was killed before. It keeps
// an index of each stream, which it writes every few minutes and when it stops,
// beside the files of messages. After a kill the index is older than these: the
// server says so ("outdated"; "prior state", also where a file has gone since,
// because all its messages had), and makes it anew from the files of messages,
// which are what was acknowledged.
func (l *serverLog) Warnf(format string, v ...any) {
	level, text := slog.LevelWarn, fmt.Sprintf(format, v...)
	switch {
	case strings.Contains(text, "could not locate msg block"):
		// a file that was lost would be told in the same words
		level, text = slog.LevelInfo, text+" (after a kill this is ordinary: the stream's index is older than its files of messages, and is made anew from them)"
	case strings.Contains(text, "outdated"), strings.Contains(text, "prior state"):
		level = slog.LevelDebug
	case strings.Contains(text, "Failed to install snapshot") && strings.Contains(text, "store is closed"):
		level = slog.LevelDebug // it stops: what it would have shortened is as it was
	}
	l.say(level, alike(format), text)
}

// Errorf is less loud about a server of the cluster that is not there: that is what a
// cluster is for, and all of them are not there before the first has started.
func (l *serverLog) Errorf(format string, v ...any) {
	level, key, text := slog.LevelError, alike(format), fmt.Sprintf(format, v...)
	if strings.HasPrefix(text, "Error trying to connect to route") {
		level = slog.LevelInfo
		address := addressOf(v)
		l.mu.Lock()
		l.routes[address] = l.now()
		l.mu.Unlock()
		key += address
	}
	if strings.Contains(text, "Remote server has a duplicate name") {
		l.twins.Do(func() { close(l.twin) })
	}
	l.say(level, key, text)
}

// addressOf returns where a server was not reached, which one of v, an error, says.
func addressOf(v []any) string {
	for _, a := range v {
		err, ok := a.(error)
		var op *net.OpError
		var dns *net.DNSError
		switch {
		case !ok:
		case errors.As(err, &dns):
			return dns.Name
		case errors.As(err, &op) && op.Addr != nil:
			return op.Addr.String()
		default:
			return err.Error()
		}
	}
	return ""
}

// ofConnection begins what is said of a connection: its address and number.
var ofConnection = regexp.MustCompile(`^\S+ - \w+:\d+ - `)

// alike is what messages have in common that say the same: their format.
func alike(format string) string { return ofConnection.ReplaceAllString(format, "") }

// Fatalf is never left out.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.log.Error("nats: " + fmt.Sprintf(format, v...))
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}
