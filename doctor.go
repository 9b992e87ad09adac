package perdure

import (
	"context"
	"fmt"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/config"
)

// A CheckResult is what one look at a deployment came to: what was looked at, whether it is
// as it should be, what is there, and what to do.
type CheckResult = broker.CheckResult

// How something is that was looked at.
const (
	CheckOK   = broker.OK   // as it should be
	CheckWarn = broker.Warn // working, with something to know or to mend
	CheckFail = broker.Fail // not working, or not keeping what it promises
)

// doctorOpen is how long the look at the nodes may take to begin.
const doctorOpen = 10 * time.Second

// Doctor looks at the deployment that a node of cfg belongs to, or would: at NATS, as far
// as the node's user may see it, at what the namespace has there, and at the nodes. It
// changes nothing, and goes on as far as it can. The servers are those of cfg.URL, or the
// one of a node that listens at cfg.Listen.
func Doctor(ctx context.Context, cfg *config.Config, opts ...Option) []CheckResult {
	wrong := func(found, do string) []CheckResult {
		return []CheckResult{{Check: "configuration", Status: CheckFail, Found: found, Do: do}}
	}
	all, err := configured(cfg)
	if err != nil {
		return wrong(err.Error(), "correct it; 'perdure config check' says more")
	}
	o, err := apply(append(all, opts...))
	if err != nil {
		return wrong(err.Error(), "correct it; 'perdure config check' says more")
	}
	url := cfg.ClientURL()
	if url == "" {
		found := "listen is not set"
		if cfg.Listen != "" {
			found = "listen is " + cfg.Listen + ", any free port"
		}
		return wrong("the node's NATS server is inside it, and where that takes clients is not known: "+found, "say it for this time, by --server HOST:PORT: the node's line 'ready' has the address; or set listen to one in the node's configuration, and start the node again")
	}
	if err := config.CheckAddress(url); err != nil {
		return wrong(err.Error(), "correct the address")
	}
	b := &o.broker
	if cfg.Clustered() && b.Replicas == 0 {
		b.Replicas = 3
	}
	b.URL, b.Dir, b.Listen, b.Cluster, b.SyncAlways, b.Kinds, b.ClientOnly = url, "", "", nil, false, nil, true
	findings, whole := broker.Examine(ctx, *b)
	if !whole {
		return findings
	}
	b.Durability, b.Replicas = Disk, 0 // what is not as configured was said, and must not end it
	short, cancel := context.WithTimeout(ctx, doctorOpen)
	defer cancel()
	opened, err := broker.Open(short, *b)
	if err != nil {
		return append(findings, CheckResult{Check: "nodes", Status: CheckFail, Found: fmt.Sprintf("nothing can be asked about them: %v", err), Do: "mend what is said above"})
	}
	findings = append(findings, actors.Examine(ctx, opened)...)
	findings = examineServers(ctx, opened, findings)
	if err := opened.Close(); err != nil {
		findings = append(findings, CheckResult{Check: "connection", Status: CheckWarn, Found: err.Error()})
	}
	return findings
}
