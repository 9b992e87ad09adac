package perdure

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/cluster"
	"github.com/perdure/perdure/config"
)

// Errors of backups, to be matched with errors.Is.
var (
	// ErrUnsettled is returned by [Client.Backup] when the namespace has changed while
	// it was read, e.g. since a node was starting, or nodes would have stood still for
	// longer than they may. What was written is no backup. Take another one.
	ErrUnsettled = broker.ErrUnsettled
	// ErrBackup is returned by [Restore] when what it reads is no whole backup, or of a
	// format or a layout that this program does not know. The text says which.
	ErrBackup = broker.ErrBackup
	// ErrNotEmpty is returned by [Restore] when the namespace is there already.
	ErrNotEmpty = broker.ErrNotEmpty
)

// A Backup says what [Client.Backup] has written.
type Backup struct {
	Nodes    int           // that stood still for it
	Streams  int           // of the namespace
	Messages uint64        // in them
	Paused   time.Duration // how long the nodes stood still
}

// A BackupOption configures [Client.Backup]. [Pause] is one.
type BackupOption func(*broker.BackupConfig)

// Pause is how long nodes may stand still at most for a backup, a minute without it,
// and ten minutes at most. One that would take longer is given up.
func Pause(d time.Duration) BackupOption {
	return func(c *broker.BackupConfig) { c.Pause = d }
}

// Backup writes a backup of the whole namespace to w while its nodes work: all pools,
// runs, waiting tasks, timers, state, large payloads, dead letters and the archive.
// [Restore] makes the namespace from it on another NATS, as it would be if all of its
// processes had been killed at the moment of the backup: every run that was accepted
// before finishes there, and no step that was recorded runs again.
//
// All nodes stand still while it is read: steps that run go on, but nothing is stored
// until it has ended: some six seconds for 100,000 finished runs, on a busy machine of
// two cores. Meanwhile tasks are accepted of whoever starts them through NATS directly,
// or with a client in a process without a node; what goes through a node waits: its
// [Node.Client], 'perdure start' and the API. What is written is a backup only if there
// is no error.
func (c *Client) Backup(ctx context.Context, w io.Writer, opts ...BackupOption) (Backup, error) {
	cfg := broker.BackupConfig{Node: cluster.NodeOf, Keep: cluster.Kept}
	for _, o := range opts {
		o(&cfg)
	}
	made, err := c.b.Backup(ctx, w, cfg)
	return Backup(made), err
}

// Restore makes a namespace from a backup: on the servers of url, which have none of
// its name, or, where url is empty, in the directory [Dir], as [Open] and [Connect] do.
// The namespace keeps its name and its number of partitions. [WithDurability] and the
// connection's options count; others do not. It is to be restored before any node of
// it is opened, and no node opens it before it is complete: one that was interrupted
// is to be restored once more, which begins anew. r is read once; a file is best looked
// at with [CheckBackup] before.
func Restore(ctx context.Context, url string, r io.Reader, opts ...Option) error {
	o, err := apply(opts)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if url != "" {
		if err := config.CheckAddress(url); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	o.broker.URL = url
	if _, err := broker.Restore(ctx, o.broker, r); err != nil {
		return opened(err)
	}
	return nil
}

// CheckBackup reads a backup to its end, without restoring it. The error matches
// [ErrBackup] if it is damaged, not whole, or of a version that this program does not
// know.
func CheckBackup(r io.Reader) error {
	_, err := broker.CheckBackup(r)
	return err
}
