package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// How long a deployment is looked at.
const (
	examineConnect = 5 * time.Second
	examineAnswer  = 3 * time.Second // for one answer
)

// Examine looks at the NATS of cfg.URL, and at what a namespace has there, as a node of
// cfg would use it, and changes nothing. It goes on as far as it can: each thing that is
// wrong is a finding with what to do. whole says that a broker can be opened there,
// with [Config.ClientOnly].
func Examine(ctx context.Context, cfg Config) (findings []CheckResult, whole bool) {
	cfg.ClientOnly = true
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := cfg.validate(); err != nil {
		return []CheckResult{{Check: "configuration", Status: Fail, Found: err.Error(), Do: "correct it; 'perdure config check' says more"}}, false
	}
	e := &examiner{cfg: &cfg, now: cfg.clock}
	if e.now == nil {
		e.now = time.Now
	}
	if !e.connect(ctx) {
		return e.findings, false
	}
	defer e.nc.Close()
	whole = e.answers(ctx) && e.jetstream(ctx)
	e.permissions(ctx)
	if whole {
		whole = e.namespace(ctx)
	}
	return e.findings, whole
}

// An examiner looks at a deployment.
type examiner struct {
	cfg      *Config
	now      func() time.Time
	nc       *nats.Conn
	names    Names
	findings []CheckResult
}

func (e *examiner) say(check string, status CheckStatus, found, do string) {
	e.findings = append(e.findings, CheckResult{Check: check, Status: status, Found: found, Do: do})
}

// connect finds out whether the server takes the connection.
func (e *examiner) connect(ctx context.Context) bool {
	began := time.Now()
	opts := append([]nats.Option{nats.Name("perdure doctor"), nats.Timeout(examineConnect)}, e.cfg.Options...)
	opts = append(opts, nats.NoReconnect(), nats.RetryOnFailedConnect(false), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	nc, err := nats.Connect(e.cfg.URL, opts...)
	if err == nil && ctx.Err() != nil {
		nc.Close()
		err = ctx.Err()
	}
	if err != nil {
		found := fmt.Sprintf("no connection to %s: %v", publicURL(e.cfg.URL), err)
		switch text := strings.ToLower(err.Error()); {
		case strings.Contains(text, "authorization"), strings.Contains(text, "authentication"), strings.Contains(text, "nkey"), strings.Contains(text, "credentials"):
			e.say("connection", Fail, found, "the server does not take who this is: correct credentials.* of the configuration, or the server's users")
		case strings.Contains(text, "tls"), strings.Contains(text, "x509"), strings.Contains(text, "certificate"):
			e.say("connection", Fail, found, "correct tls.ca, tls.cert and tls.key of the configuration, or the server's certificate: it must be of the host's name")
		default:
			e.say("connection", Fail, found, "start the server, or correct the address; look whether a firewall is between")
		}
		return false
	}
	e.nc = nc
	took := time.Since(began)
	rtt, err := nc.RTT()
	if err != nil {
		rtt = took
	}
	e.say("connection", OK, fmt.Sprintf("%s is server %s; there and back %s", nc.ConnectedUrlRedacted(), nc.ConnectedServerName(), rtt.Round(time.Microsecond)), "")
	e.findings = append(e.findings, versionCheck(nc.ConnectedServerVersion()))
	e.findings = append(e.findings, payloadCheck(nc.MaxPayload()))
	return true
}

// leastServer is the first version of nats-server that has what a namespace needs:
// message schedules, and times to live of messages with marks of what expired.
const leastServer = "2.12.0"

// versionCheck judges the version of a server.
func versionCheck(version string) CheckResult {
	f := CheckResult{Check: "version", Status: OK, Found: "nats-server " + version}
	switch tested := server.VERSION; {
	case older(version, leastServer):
		f.Status, f.Do = Fail, fmt.Sprintf("update all servers to %s, with which this program is tested; without message schedules, of %s, no timer works", tested, leastServer)
	case older(version, minorOf(tested)):
		f.Status, f.Do = Warn, fmt.Sprintf("update all servers to %s, with which this program is tested", tested)
	}
	return f
}

// minorOf is a version without its last number.
func minorOf(v string) string { return v[:strings.LastIndexByte(v, '.')] }

// older reports whether version a is before b; what is no number counts as 0.
func older(a, b string) bool {
	number := func(v *string) int {
		first, rest, _ := strings.Cut(*v, ".")
		*v = rest
		first, _, _ = strings.Cut(first, "-")
		n, _ := strconv.Atoi(strings.TrimPrefix(first, "v"))
		return n
	}
	for a != "" || b != "" {
		if x, y := number(&a), number(&b); x != y {
			return x < y
		}
	}
	return false
}

// usualPayload is how large messages of a NATS server may be that is not told otherwise.
const usualPayload = 1 << 20

// payloadCheck judges how large messages may be.
func payloadCheck(limit int64) CheckResult {
	f := CheckResult{Check: "message size", Status: OK, Found: fmt.Sprintf("a message has at most %s", sizeText(limit))}
	switch {
	case limit < 8<<10:
		f.Status, f.Do = Fail, "raise max_payload of the servers to 1MB: the records of runs do not fit"
	case limit < usualPayload:
		f.Status, f.Do = Warn, fmt.Sprintf("raise max_payload of the servers to 1MB, its default: what is larger than %s is stored apart, which takes longer", sizeText(limit/2))
	}
	return f
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return strings.TrimSuffix(strconv.FormatFloat(float64(n)/float64(u.size), 'f', 1, 64), ".0") + " " + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

// answers finds out whether requests are answered at all.
func (e *examiner) answers(context.Context) bool {
	inbox := e.nc.NewInbox()
	if denied := e.subscribe(inbox); denied {
		e.say("answers", Fail, fmt.Sprintf("this user may not subscribe to %s, where answers come", inbox), "allow it to subscribe to _INBOX.>")
		return false
	}
	return true
}

// ask requests an answer of JetStream's API, once.
func (e *examiner) ask(ctx context.Context, subject string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode request %s: %w", subject, err)
	}
	ctx, cancel := context.WithTimeout(ctx, examineAnswer)
	defer cancel()
	msg, err := e.nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		if e.denied(subject) {
			return fmt.Errorf("this user may not publish on %s", subject)
		}
		if errors.Is(err, nats.ErrNoResponders) {
			return errNoResponders
		}
		return fmt.Errorf("request %s: %w", subject, err)
	}
	return decodeAnswer(subject, msg.Data, out)
}
