package config

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/perdure/perdure/durable"
)

// schemes are those that the NATS client knows; it takes any other one, and an
// address without a host, for a server on this machine.
var schemes = []string{"nats", "tls", "ws", "wss"}

// ClientURL is where programs reach the NATS servers of the node that c describes: its
// URL, or the address at which its embedded server listens. It is empty if that takes no
// clients, or at a port that is not known before it runs.
func (c *Config) ClientURL() string {
	if c.URL != "" {
		return c.URL
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "0" {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "nats://" + net.JoinHostPort(host, port)
}

// unreached is a note of a node that no command will reach.
func (c *Config) unreached() []string {
	switch {
	case c.ClientURL() != "":
		return nil
	case c.Listen != "" || c.Clustered():
		return []string{"the embedded NATS server takes clients at a port that is not known before it runs (the line 'ready' says it): set listen to HOST:PORT, or commands as 'perdure runs' are told the server each time"}
	}
	return []string{"listen is not set, so no command as 'perdure runs', and no other program, reaches this node: set it to HOST:PORT, e.g. 127.0.0.1:4222"}
}

// CheckAddress refuses an address list, separated by commas, that names no NATS server.
// The error matches [durable.ErrInvalid]; what it says
// holds no password.
func CheckAddress(list string) error {
	found := false
	for address := range strings.SplitSeq(list, ",") {
		address = strings.TrimSpace(address)
		if address == "" {
			continue
		}
		found = true
		if !strings.Contains(address, "://") {
			address = "nats://" + address
		}
		scheme, _, _ := strings.Cut(address, "://")
		u, err := url.Parse(address)
		at, bad := badPort(address)
		switch {
		case bad && strings.Contains(list, "@"): // which may hold a secret
			return durable.Fail(durable.ErrInvalid.Code, "an address has no port from 1 to 65535 after its colon; use one like nats://127.0.0.1:4222")
		case bad:
			return durable.Fail(durable.ErrInvalid.Code, "the address %q has no port from 1 to 65535 after its colon; use one like nats://127.0.0.1:4222", at)
		case !slices.Contains(schemes, strings.ToLower(scheme)):
			return durable.Fail(durable.ErrInvalid.Code, "the address of a NATS server begins with %q; use %s://, e.g. nats://127.0.0.1:4222", scheme+"://", strings.Join(schemes, "://, "))
		case err != nil:
			return durable.Fail(durable.ErrInvalid.Code, "the address that begins with %q is not a URL; use one like nats://127.0.0.1:4222", scheme+"://")
		case u.Hostname() == "":
			if u.User != nil {
				address = u.Redacted()
			}
			return durable.Fail(durable.ErrInvalid.Code, "the address %q names no host; use one like nats://127.0.0.1:4222", address)
		}
	}
	if !found {
		return durable.Fail(durable.ErrInvalid.Code, "the address is empty; name a NATS server, e.g. nats://127.0.0.1:4222, or use Open to embed one")
	}
	return nil
}

// badPort reports whether an address, whose user is not looked at, has something else than a
// port after the colon of its host, and returns both.
func badPort(address string) (at string, bad bool) {
	_, at, _ = strings.Cut(address, "://")
	at = at[strings.LastIndexByte(at, '@')+1:]
	at, _, _ = strings.Cut(at, "/")
	colon := strings.LastIndexByte(at, ':')
	if colon < 0 || strings.HasSuffix(at, "]") { // of an address of IPv6
		return at, false
	}
	n, err := strconv.ParseUint(at[colon+1:], 10, 16)
	return at, err != nil || n == 0
}
