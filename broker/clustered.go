package broker

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A Cluster says how the embedded servers of several nodes find each other: together
// they are one NATS cluster, which holds each message on three of them or more.
type Cluster struct {
	// Name is that of the cluster, the same for all its servers. Empty means
	// the namespace.
	Name string
	// Server is who this server is to the others, for good: one that lost its
	// directory comes back under the same name and gets what it had from them. No
	// two have the same one. Empty means where the others reach it: Advertise, or
	// Listen. [perdure.Open] gives it the node's name.
	Server string
	// Listen is where the other servers reach this one, HOST:PORT.
	Listen string
	// Routes are where all servers of the cluster listen for each other,
	// HOST:PORT each, this one included; at least three. How many there are
	// is how many it takes for a majority when the cluster begins, so
	// all servers are given the same.
	Routes []string
	// Advertise is where the others reach this one, HOST:PORT, if it is not Listen.
	Advertise string
	// User and Password are what servers say to each other, the same for all.
	User, Password string
	// TLS secures what servers send each other; each side checks the other's
	// certificate if it says so. nil: none.
	TLS *tls.Config
}

// minServers is how many servers a cluster has at least: of two, neither goes on
// without the other.
const minServers = 3

func (c *Cluster) validate() error {
	if strings.ContainsFunc(c.Name, func(r rune) bool { return r <= ' ' }) {
		return fmt.Errorf("cluster: the name %q has blanks", c.Name)
	}
	if _, _, err := hostPort(c.Listen); err != nil {
		return fmt.Errorf("cluster: where it listens: %w", err)
	}
	if c.Advertise != "" {
		if _, _, err := hostPort(c.Advertise); err != nil {
			return fmt.Errorf("cluster: what it advertises: %w", err)
		}
	}
	if strings.ContainsFunc(c.Server, func(r rune) bool { return r <= ' ' }) {
		return fmt.Errorf("cluster: the server's name %q has blanks", c.Server)
	}
	if c.Server == "" && !distinct(c.Advertise, c.Listen) {
		return fmt.Errorf("cluster: the node has no name, and where it listens (%s) is no name either, as others could have the same: name the node (perdure.Name, --name), the same at each start and on each machine another one", c.Listen)
	}
	for i, r := range c.Routes {
		if _, port, err := hostPort(r); err != nil {
			return fmt.Errorf("cluster: route %d: %w", i+1, err)
		} else if port == 0 {
			return fmt.Errorf("cluster: route %d, %s, has no port", i+1, r)
		}
	}
	if first, second, ok := c.ListedTwice(); ok {
		return fmt.Errorf("cluster: routes %s and %s are the same server: list each once, as the others reach it", first, second)
	}
	if len(c.Routes) < minServers {
		return fmt.Errorf("cluster: %d routes are given, and it takes %d or more: name where every server listens, this one included (%s)", len(c.Routes), minServers, c.Listen)
	}
	if (c.User == "") != (c.Password == "") {
		return errors.New("cluster: a user and a password go together; one of them is empty")
	}
	return nil
}

// distinct reports whether the first of the addresses that is given is of one server
// only: it has a host and a port.
func distinct(addresses ...string) bool {
	host, port, err := hostPort(cmp.Or(addresses...))
	return err == nil && port != 0 && host != "" && !net.ParseIP(host).IsUnspecified()
}

// PlainAddress returns a form of HOST:PORT that is the same for addresses which are those of
// one server, as far as these say so themselves: localhost and [::1] are 127.0.0.1. No other
// name is looked up. What is no HOST:PORT is returned as it is.
func PlainAddress(address string) string {
	host, port, err := hostPort(address)
	if err != nil {
		return address
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ip := net.ParseIP(host)
	switch {
	case host == "localhost", ip.Equal(net.IPv6loopback):
		host = "127.0.0.1"
	case ip != nil:
		host = ip.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// ListedTwice returns two of the routes that name the same server, if there are such: the
// same address, or where this one listens and what it advertises.
func (c *Cluster) ListedTwice() (first, second string, ok bool) {
	plain := func(address string) string {
		own := PlainAddress(address)
		if c.Advertise != "" && own == PlainAddress(c.Advertise) {
			return PlainAddress(c.Listen)
		}
		return own
	}
	for i, r := range c.Routes {
		for _, before := range c.Routes[:i] {
			if plain(before) == plain(r) {
				return before, r, true
			}
		}
	}
	return "", "", false
}

// hostPort reads HOST:PORT.
func hostPort(s string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not HOST:PORT: %w", s, err)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("the port of %q is not a number up to 65535", s)
	}
	return host, int(n), nil
}

// apply makes the server that o describes one of the cluster.
func (c *Cluster) apply(o *server.Options, name string) error {
	host, port, err := hostPort(c.Listen)
	if err != nil {
		return err
	}
	if host, port, err = claimPort(host, strconv.Itoa(port)); err != nil {
		return fmt.Errorf("listen for other servers on %s: %w", c.Listen, err)
	}
	o.ServerName = name
	o.ConnectErrorReports = 1 // of 3600: who waits says whom it does not reach
	o.Cluster = server.ClusterOpts{
		Name: c.Name, Host: host, Port: port, Advertise: c.Advertise,
		Username: c.User, Password: c.Password,
		// A server that others do not reach any more is gone after two of these.
		PingInterval: pingInterval, MaxPingsOut: 2,
	}
	if c.TLS != nil {
		o.Cluster.TLSConfig = c.TLS
		o.Cluster.TLSTimeout = float64(server.TLS_TIMEOUT) / float64(time.Second)
	}
	for _, r := range c.Routes {
		u := &url.URL{Scheme: "nats-route", Host: r}
		if c.User != "" {
			u.User = url.UserPassword(c.User, c.Password)
		}
		o.Routes = append(o.Routes, u)
	}
	return nil
}

// clusterFile is the file in a data directory that says which server of which cluster
// it belongs to. Servers know each other by name: with another one this would be a new
// server, and what it has stored nobody's. So a directory keeps the name that it was
// given first, and a new directory is given the one of its node.
const clusterFile = "perdure.cluster"

type clusterRecord struct {
	Cluster string `json:"cluster"`
	Server  string `json:"server"`
}

// serverName returns the name of the server whose data is in dir, which it is given
// once. A directory belongs to one cluster, or to none: with another configuration
// the server would throw away what is in it, as not known to the cluster.
func serverName(dir string, c *Cluster) (string, error) {
	path := filepath.Join(dir, clusterFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newServerName(dir, path, c)
	}
	var r clusterRecord
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	switch {
	case err != nil || r.Server == "":
		return "", fmt.Errorf("open data directory %s: %w: read %s: %w", dir, ErrDirUnusable, clusterFile, err)
	case c == nil:
		return "", fmt.Errorf("open data directory %s: %w: it is of server %s of cluster %s; open it with that cluster's routes, or use another directory", dir, ErrDirForeign, r.Server, r.Cluster)
	case c.Name != r.Cluster:
		return "", fmt.Errorf("open data directory %s: %w: it is of cluster %s, and not of %s; use that name, or another directory", dir, ErrDirForeign, r.Cluster, c.Name)
	}
	return r.Server, nil
}

func newServerName(dir, path string, c *Cluster) (string, error) {
	if c == nil {
		return "", nil
	}
	if streams, err := os.ReadDir(streamsRoot(dir)); err == nil && len(streams) > 0 {
		return "", fmt.Errorf("open data directory %s: %w: it is of a server that was alone, whose streams a cluster does not take over; use a new directory, or run this one as it is, without a cluster: what is in it cannot be restored onto embedded servers that form one, only onto a NATS cluster that nodes connect to", dir, ErrDirForeign)
	}
	r := clusterRecord{Cluster: c.Name, Server: serverPrefix + cmp.Or(c.Server, c.Advertise, c.Listen)}
	data, err := json.Marshal(r)
	if err == nil {
		err = writeDurably(path, data)
	}
	if err != nil {
		return "", fmt.Errorf("name the server of %s: %w: %w", dir, ErrDirUnusable, err)
	}
	return r.Server, nil
}

// writeDurably stores a file, whole or not at all.
func writeDurably(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFolder(filepath.Dir(path))
}
