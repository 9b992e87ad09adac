package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A standing is how a server does, as the leaders of streams see it.
type standing struct {
	holds, leads, behind, silent int // streams
}

// A replica is what the leader of a stream says of a server that follows it.
type replica struct {
	Name    string        `json:"name"`
	Current bool          `json:"current"`
	Offline bool          `json:"offline"`
	Active  time.Duration `json:"active"` // since the leader heard of it; 0 for never, too
}

// silentFrom is for how long the leader of a stream has heard nothing of a replica that
// is away: they talk every second. That a server is offline the others know a minute later.
const silentFrom = 5 * time.Second

// silent reports whether the leader does not hear of the replica.
func (r replica) silent() bool {
	return r.Offline || r.Active > silentFrom || !r.Current && r.Active == 0
}

// away reports whether nobody hears from it.
func (s *standing) away() bool { return s.silent == s.holds }

// A replica that others hear of is looked at again before it counts as behind: while a
// stream is written to, one or the other is a moment late.
const (
	lagLooks = 5
	lagLook  = 200 * time.Millisecond
)

// lags reports whether a replica is late that is not away.
func (s *examined) lags() bool {
	return s.Cluster != nil && slices.ContainsFunc(s.Cluster.Replicas, func(r replica) bool { return !r.Current && !r.Offline && r.Active <= silentFrom })
}

// pause waits; false if ctx has ended.
func (e *examiner) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// alone judges a server that is of no cluster.
func (e *examiner) alone() {
	found := fmt.Sprintf("one server, %s, and no cluster: while it is away nothing goes on", e.nc.ConnectedServerName())
	switch n := e.cfg.Replicas; {
	case e.cfg.Durability == Quorum:
		e.say("cluster", Fail, found+"; durability quorum is configured, and one server cannot give it", "for quorum run three servers: nodes that form a cluster (cluster.listen and cluster.routes), or NATS servers of yours that do (url); with one server configure durability disk")
	case n > 1:
		e.say("cluster", Fail, fmt.Sprintf("%s; %d replicas are configured, and one server holds 1", found, n), "correct the address, if the servers of the cluster are elsewhere; otherwise form it (cluster.listen and cluster.routes), or configure no replicas")
	default:
		e.say("cluster", OK, found, "")
	}
}

// servers says which servers hold the streams, as far as this account may see, and in
// one finding which of them are away or behind, whatever the number of streams.
func (e *examiner) servers(all map[string]*examined) {
	name, servers := "", map[string]*standing{}
	of := func(server string) *standing {
		if servers[server] == nil {
			servers[server] = &standing{}
		}
		servers[server].holds++
		return servers[server]
	}
	replicas := 0
	for _, have := range all {
		replicas = max(replicas, have.Config.Replicas)
		if have.Cluster == nil || have.Cluster.Leader == "" {
			continue
		}
		name = have.Cluster.Name
		of(have.Cluster.Leader).leads++
		for _, r := range have.Cluster.Replicas {
			s := of(r.Name)
			if r.silent() {
				s.silent++
			}
			if r.silent() || !r.Current {
				s.behind++
			}
		}
	}
	if name == "" {
		e.alone()
		return
	}
	var who, bad []string
	away, behind := map[bool][]string{}, []string(nil)
	for _, server := range slices.Sorted(maps.Keys(servers)) {
		s := servers[server]
		who = append(who, fmt.Sprintf("%s (leads %d)", nodeOf(server), s.leads))
		switch {
		case s.away():
			away[strings.HasPrefix(server, serverPrefix)] = append(away[strings.HasPrefix(server, serverPrefix)], nodeOf(server))
			bad = append(bad, fmt.Sprintf("%s is away, which holds %d streams", nodeOf(server), s.holds))
		case s.behind > 0:
			behind = append(behind, nodeOf(server))
			bad = append(bad, fmt.Sprintf("%s is behind in %d of %d streams", nodeOf(server), s.behind, s.holds))
		}
	}
	if len(bad) > 0 {
		var do []string
		if nodes := away[true]; len(nodes) > 0 {
			do = append(do, fmt.Sprintf("start node %s again, with its directory or, if that is lost, an empty one; on a new machine, too, under this name: it gets what it lacks from the others", strings.Join(nodes, " and node ")))
		}
		if others := away[false]; len(others) > 0 {
			do = append(do, fmt.Sprintf("start server %s again", strings.Join(others, " and server ")))
		}
		if len(behind) > 0 {
			do = append(do, fmt.Sprintf("wait until %s has caught up", strings.Join(behind, " and ")))
		}
		e.say("cluster", Warn, fmt.Sprintf("cluster %s: %s", name, strings.Join(bad, "; ")), strings.Join(do, "; ")+"; until then stop no other one")
		e.findings[len(e.findings)-1].Away = append(away[true], away[false]...)
		return
	}
	found := fmt.Sprintf("cluster %s: streams are on %s", name, strings.Join(who, ", "))
	if replicas < 3 {
		e.say("cluster", Warn, fmt.Sprintf("%s, each stream on %d", found, replicas), "set replicas to 3, so that the loss of a server stops nothing")
		return
	}
	e.say("cluster", OK, found, "")
}
