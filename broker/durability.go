package broker

import (
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Durability says what an acknowledged write survives.
type Durability int

const (
	// Disk acknowledges after fsync: a write survives SIGKILL, a crash of the
	// machine and loss of power. It is the default.
	Disk Durability = iota
	// Process acknowledges before fsync, which follows within a second: a
	// write survives SIGKILL; loss of power may take about the last second.
	Process
	// Quorum acknowledges when a majority of at least three servers holds the
	// write. It needs an external NATS cluster.
	Quorum
)

// processSyncInterval is how long at [Process] an acknowledged write may wait
// for its fsync.
const processSyncInterval = time.Second

// String prints the word that [ParseDurability] reads.
func (d Durability) String() string {
	switch d {
	case Disk:
		return "disk"
	case Process:
		return "process"
	case Quorum:
		return "quorum"
	}
	return fmt.Sprintf("Durability(%d)", int(d))
}

// ParseDurability reads "disk", "process" or "quorum".
func ParseDurability(s string) (Durability, error) {
	for _, d := range []Durability{Disk, Process, Quorum} {
		if s == d.String() {
			return d, nil
		}
	}
	return 0, fmt.Errorf("durability %q is unknown; use disk, process or quorum", s)
}

// apply sets what d means on an embedded server, whose files are ours to fsync if
// grouped is true.
func (d Durability) apply(o *server.Options, grouped bool) {
	if d == Disk && !grouped {
		o.SyncAlways = true
	} else {
		o.SyncInterval = processSyncInterval
	}
}

// Meaning says in a sentence what the level survives.
func (d Durability) Meaning() string {
	switch d {
	case Disk:
		return "on disk before it counts: survives a kill, a crash of the machine and loss of power"
	case Process:
		return "survives a kill; loss of power may take about the last second"
	case Quorum:
		return "on a majority of servers before it counts: survives the loss of a minority of machines"
	}
	return d.String()
}
