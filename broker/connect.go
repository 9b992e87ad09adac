package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

// How a connection is made and kept.
const (
	reconnectWait   = 100 * time.Millisecond
	reconnectJitter = 50 * time.Millisecond
	pingInterval    = 5 * time.Second // two missed pings end a connection
)

// connectOptions are those that the guarantees rest on: nothing is buffered
// while the connection is down (P05), and it is sought for ever.
func connectOptions(cfg *Config) []nats.Option {
	log := cfg.Logger
	return []nats.Option{
		nats.Name("perdure " + cfg.Namespace),
		nats.ReconnectBufSize(-1),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if err != nil {
				log.Warn("connection to NATS lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("connection to NATS is back", "server", serverOf(nc))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if d := deniedBy(err); d != nil { // and nobody waits for it
				log.Warn(d.Error())
				return
			}
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Warn("nats: "+err.Error(), "subject", subject)
		}),
	}
}

// connect returns the connection that cfg asks for.
func connect(ctx context.Context, cfg *Config, e *embedded) (*nats.Conn, error) {
	if cfg.Conn != nil {
		return cfg.Conn, checkConn(cfg.Conn)
	}
	opts := connectOptions(cfg)
	url := cfg.URL
	if e != nil {
		url = ""
		opts = append(opts, nats.InProcessServer(e.srv))
	} else {
		opts = append(opts, cfg.Options...)
		// After the caller's: these are not for choice.
		opts = append(opts, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(false))
	}
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, nats.Timeout(max(min(time.Until(deadline), 5*time.Second), time.Millisecond)))
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		if e != nil {
			return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
		}
		switch {
		case untrusted(err):
			return nil, fmt.Errorf("connect to %s: %w: %w; look at tls.ca, tls.cert and tls.key, at the server's certificate, and whether the server wants TLS (tls://)", publicURL(cfg.URL), ErrUntrusted, err)
		case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
			return nil, fmt.Errorf("connect to NATS at %s: %w: %w; check the URL and the credentials", publicURL(cfg.URL), ErrCredentials, err)
		}
		if unreachable(err) {
			return nil, fmt.Errorf("connect to %s: %w: %w; check the URL and that the server runs", publicURL(cfg.URL), ErrUnreachable, err)
		}
		return nil, fmt.Errorf("connect to NATS at %s: %w; check the URL and the credentials", publicURL(cfg.URL), err)
	}
	return nc, nil
}

// serverOf says where a connection ends. To a server inside of the process it has an
// address that means nothing.
func serverOf(nc *nats.Conn) string {
	if nc.Opts.InProcessServer != nil {
		return "inside this process"
	}
	return nc.ConnectedUrlRedacted()
}

// checkConn refuses a caller's connection that would break a guarantee.
func checkConn(nc *nats.Conn) error {
	if nc.Opts.ReconnectBufSize >= 0 {
		return fmt.Errorf("%w: the connection has a reconnect buffer, which would publish what is no longer true; make it with nats.ReconnectBufSize(-1)", ErrIncompatible)
	}
	if nc.Opts.MaxReconnect >= 0 {
		return fmt.Errorf("%w: the connection gives up after %d reconnects; make it with nats.MaxReconnects(-1)", ErrIncompatible, nc.Opts.MaxReconnect)
	}
	if nc.IsClosed() {
		return fmt.Errorf("%w: the connection is closed", ErrIncompatible)
	}
	return nil
}

// untrusted reports whether a server was there, and TLS with it failed.
func untrusted(err error) bool {
	var (
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		op     *net.OpError
	)
	return errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert) ||
		errors.As(err, &op) && op.Op == "remote error" || // an alert of the server's
		errors.Is(err, nats.ErrSecureConnRequired) || errors.Is(err, nats.ErrSecureConnWanted)
}

// unreachable reports whether no server took the connection, as opposed to one
// that refused it. One that ended before it had said anything is none: it was killed,
// or a proxy had nobody behind it.
func unreachable(err error) bool {
	var n net.Error
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF) || errors.As(err, &n)
}

func addrInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// publicURL is a list of addresses without what may be a secret in them.
func publicURL(list string) string {
	addresses := strings.Split(list, ",")
	for i, a := range addresses {
		if scheme, rest, ok := strings.Cut(a, "://"); ok {
			if at := strings.LastIndexByte(rest, '@'); at >= 0 {
				addresses[i] = scheme + "://xxxxx" + rest[at:]
			}
		} else if at := strings.LastIndexByte(a, '@'); at >= 0 {
			addresses[i] = "xxxxx" + a[at:]
		}
	}
	return strings.Join(addresses, ",")
}
