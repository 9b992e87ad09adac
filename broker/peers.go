package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// peerWait is how long a server of the cluster that is called may take to say who it is.
const peerWait = time.Second

// unlikeOthers makes sure that no server of the cluster that can be reached has the name
// of this one. The servers themselves find out too late: votes and messages of two
// that have one name count as those of one.
func (c *Cluster) unlikeOthers(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, peerWait)
	defer cancel()
	errs := make([]error, len(c.Routes))
	var wg sync.WaitGroup
	for i, route := range c.Routes {
		if at := PlainAddress(route); at == PlainAddress(c.Listen) || at == PlainAddress(c.Advertise) {
			continue
		}
		wg.Go(func() {
			if peerName(ctx, route) == name {
				errs[i] = fmt.Errorf("start as %s in cluster %s: %w: the server at %s has it; give each node a name of its own (perdure.Name, --name), and a machine that replaces another one the name of that", nodeOf(name), c.Name, ErrServerTaken, route)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// watchTwin ends what is done with the context it returns once a server of this one's name has
// called, which the routes do not have: that of a directory that is a copy, say. why turns the
// error that this leads to into one that says so.
func (e *embedded) watchTwin(ctx context.Context, cluster string) (_ context.Context, stop func(), why func(error) error) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-e.log.twin:
			cancel()
		case <-ctx.Done():
		}
	}()
	name := e.srv.Name()
	return ctx, cancel, func(err error) error {
		select {
		case <-e.log.twin:
			return fmt.Errorf("start as %s in cluster %s: %w: it runs elsewhere, with a directory of which this one is perhaps a copy; stop one of them for good. A further server, or one in place of this, begins with an empty directory", nodeOf(name), cluster, ErrServerTaken)
		default:
			return err
		}
	}
}

// peerName returns the name of the server that listens at a route; empty if none says it.
// A server that takes a connection begins by saying who it is.
func peerName(ctx context.Context, route string) string {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", route)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetReadDeadline(end); err != nil {
			return ""
		}
	}
	line, err := bufio.NewReaderSize(conn, 64<<10).ReadSlice('\n')
	if err != nil {
		return ""
	}
	info, ok := bytes.CutPrefix(line, []byte("INFO "))
	var peer struct {
		Name string `json:"server_name"`
	}
	if !ok || json.Unmarshal(info, &peer) != nil {
		return ""
	}
	return peer.Name
}

// nodeOf returns the node that an embedded server of a cluster is in, for people.
func nodeOf(serverName string) string { return strings.TrimPrefix(serverName, serverPrefix) }

// A lookout is what a server sees of the others of its cluster.
type lookout struct {
	connected []string // nodes
	missing   []string // addresses that it does not reach
	why       string   // it waits
}

// look looks out for the others. It takes a majority of them; but a server whose log is
// empty does not know whether it has ever had anything, so where all are new, all are
// waited for.
func (e *embedded) look(servers int) lookout {
	var l lookout
	if routes, err := e.srv.Routez(nil); err == nil {
		for _, r := range routes.Routes {
			l.connected = append(l.connected, nodeOf(r.RemoteName))
		}
	}
	slices.Sort(l.connected)
	l.connected = slices.Compact(l.connected)
	there := len(l.connected) + 1
	if there < servers {
		l.missing = e.log.unreached()
		slices.Sort(l.missing)
	}
	switch {
	case there >= servers, there > servers/2 && !e.isNew():
		l.why = "a majority is connected, and chooses a leader, which takes seconds"
	case e.isNew():
		l.why = "this one is new: the first start takes all of them, and later ones a majority"
	default:
		l.why = "it takes a majority of them"
	}
	return l
}

// isNew reports whether the server has nothing of its cluster's log.
func (e *embedded) isNew() bool {
	const group = "_meta_"
	if groups := e.srv.Raftz(&server.RaftzOptions{GroupFilter: group}); groups != nil {
		for _, account := range *groups {
			if account[group].PIndex > 0 {
				return false
			}
		}
	}
	return true
}

// behindLook is how often a server that has started is asked whether it is behind.
const behindLook = 100 * time.Millisecond

// catchUp waits until the server has what the others have of the streams that it
// holds, so that after it the next one may be stopped. It does so for at most patience:
// the cluster works without it, and it goes on by itself.
func (e *embedded) catchUp(ctx context.Context, log *slog.Logger, patience time.Duration) error {
	began, told := time.Now(), false
	for {
		health := e.srv.Healthz(&server.HealthzOptions{})
		took := time.Since(began)
		switch {
		case health.Error == "" && told:
			log.Info("this node's NATS server has caught up with the others", "took", took.Round(time.Millisecond))
			return nil
		case health.Error == "":
			return nil
		case took > patience:
			log.Warn("this node's NATS server is still behind the others; the node takes work, and no other one should be stopped before 'perdure doctor' says that this one is not behind", "after", took.Round(time.Second), "why", health.Error)
			return nil
		case took > startPatience && !told:
			told = true
			log.Info("waits until this node's NATS server has caught up with the others", "why", health.Error)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until this node's NATS server has caught up (%s): %w", health.Error, ctx.Err())
		case <-time.After(behindLook):
		}
	}
}

// catchUpPatience is how long a node is not ready because its server is behind.
const catchUpPatience = 30 * time.Second
