package actors

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/cluster"
	"github.com/perdure/perdure/schemas"
)

// Examine looks at the nodes of a namespace, as whoever checks a deployment does: which are
// alive, whether they fit together, and whether they own all partitions. It changes nothing.
func Examine(ctx context.Context, b *broker.Broker) []broker.CheckResult {
	members, err := cluster.Members(ctx, b)
	if err != nil {
		return []broker.CheckResult{{Check: "nodes", Status: broker.Fail, Found: err.Error(), Do: "look at the servers' logs"}}
	}
	pools, err := b.Inbox().Pools(ctx)
	if err != nil {
		return []broker.CheckResult{{Check: "pools", Status: broker.Fail, Found: err.Error(), Do: "look at the servers' logs"}}
	}
	if len(members) == 0 {
		return []broker.CheckResult{{Check: "nodes", Status: broker.Fail, Found: "no node is alive: nothing runs", Do: "start one; what was accepted waits"}}
	}
	findings := []broker.CheckResult{alive(members)}
	if f, ok := survives(members); ok {
		findings = append(findings, f)
	}
	for _, pool := range pools {
		findings = append(findings, examinePool(ctx, b, members, pool)...)
	}
	return findings
}

// alive says which nodes there are, and of which versions.
func alive(members []cluster.PoolMember) broker.CheckResult {
	var names []string
	versions := map[string]int{}
	for _, m := range members {
		versions[m.Member.GetVersion()]++
		about := []string{m.Pool}
		for _, b := range m.Member.GetBuilds() {
			if b.GetName() != "" {
				about = append(about, b.GetKind()+" "+b.GetName())
			}
		}
		names = append(names, fmt.Sprintf("%s (%s)", m.Member.GetId(), strings.Join(about, ", ")))
	}
	f := broker.CheckResult{Check: "nodes", Status: broker.OK, Found: fmt.Sprintf("%d alive: %s", len(members), strings.Join(names, ", "))}
	if len(versions) > 1 {
		var all []string
		for _, v := range slices.Sorted(maps.Keys(versions)) {
			n := versions[v]
			if v == "" {
				v = "unnamed"
			}
			all = append(all, fmt.Sprintf("%s on %d", v, n))
		}
		f.Status, f.Found = broker.Warn, f.Found+"; of several versions: "+strings.Join(all, ", ")
		f.Do = "go on with the upgrade, if there is one: while it lasts this is as it should be"
	}
	return f
}

// survives says what an acknowledged write survives where the NATS servers are inside the
// nodes, which alone know it; ok is false where none has one.
func survives(members []cluster.PoolMember) (f broker.CheckResult, ok bool) {
	by := map[string][]string{}
	for _, m := range members {
		if level := m.Member.GetDurability(); level != "" {
			by[level] = append(by[level], m.Member.GetId())
		}
	}
	if len(by) == 0 {
		return f, false
	}
	f = broker.CheckResult{Check: "durability of the nodes", Status: broker.OK}
	var found []string
	for _, level := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[level])
		text := fmt.Sprintf("%s on %s", level, strings.Join(by[level], ", "))
		if d, err := broker.ParseDurability(level); err == nil {
			text += " (" + d.Meaning() + ")"
		}
		found = append(found, text)
	}
	f.Found = strings.Join(found, "; ")
	if len(by) > 1 {
		f.Status, f.Do = broker.Warn, "give the nodes the same durability: a write is as durable as the servers that acknowledge it, and these may be any majority"
	}
	return f, true
}

// examinePool looks at the nodes of a pool.
func examinePool(ctx context.Context, b *broker.Broker, members []cluster.PoolMember, pool string) (findings []broker.CheckResult) {
	var own []*schemas.Member
	for _, m := range members {
		if m.Pool == pool && len(m.Member.GetKinds()) > 0 {
			own = append(own, m.Member)
		}
	}
	check := "partitions of pool " + pool
	if len(own) == 0 {
		return []broker.CheckResult{{Check: check, Status: broker.Warn, Found: "no node of the pool is alive: what is sent to its kinds waits", Do: "start one, unless the pool is given up"}}
	}
	byNode, nobody, err := cluster.Owned(ctx, b, members, pool)
	if err != nil {
		return []broker.CheckResult{{Check: check, Status: broker.Fail, Found: err.Error(), Do: "look at the servers' logs"}}
	}
	var shares, idle []string
	for _, m := range own {
		shares = append(shares, fmt.Sprintf("%s owns %d", m.GetId(), byNode[m.GetId()]))
		if byNode[m.GetId()] == 0 {
			idle = append(idle, m.GetId())
		}
	}
	f := broker.CheckResult{Check: check, Status: broker.OK, Found: fmt.Sprintf("%s of %d", strings.Join(shares, ", "), b.Partitions())}
	switch {
	case nobody > 0:
		f.Status, f.Found = broker.Fail, fmt.Sprintf("%s; nobody owns %d", f.Found, nobody)
		f.Do = "ask again in some seconds: partitions move while nodes come and go; if it stays so, look at the nodes' logs: one whose clock is wrong owns none"
	case len(idle) > 0 && len(own) <= int(b.Partitions()): // with more some have none, as they should
		f.Status = broker.Warn
		f.Do = fmt.Sprintf("ask again in some seconds; if it stays so, look at the log of %s: a node whose clock differs by more than a second owns none", strings.Join(idle, ", "))
	}
	findings = append(findings, f)
	for _, m := range own {
		if attrs := differs(own, m.GetId(), m.GetKinds()); len(attrs) > 0 {
			return append(findings, broker.CheckResult{
				Check: "kinds of pool " + pool, Status: broker.Warn, Found: "its nodes host different kinds: 'perdure nodes' lists them",
				Do: "go on with the deployment, if there is one; otherwise " + ownPool,
			})
		}
	}
	return findings
}
