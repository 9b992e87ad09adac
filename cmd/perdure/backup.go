package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker"
	"github.com/spf13/cobra"
)

func backupCommand() *cobra.Command {
	var c connection
	var pause time.Duration
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of a namespace, while its nodes work",
		Long: `Write a backup of the whole namespace: all pools, runs, waiting tasks, timers,
state, large payloads, dead letters and the archive. 'perdure restore' makes the
namespace from it on another NATS, as it would be if all of its processes had been
killed at that moment: every run that was accepted before finishes there.

All nodes stand still while it is read: steps that run go on, but nothing is stored
until it has ended. Tasks are accepted meanwhile of whoever starts them through NATS
directly, or with a client in a process without a node; what goes through a node
waits: 'perdure start', the API, and clients in the node's process. A backup that
would take longer than --pause is given up, and so is one during which something has
changed all the same, since a node was just starting, say: take another one then.

FILE must not exist, and is there only if it is a whole backup; - is standard output.`,
		Example: `  perdure backup monday.backup
  perdure backup --pause 5m monday.backup`,
		Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if pause <= 0 {
				return usageError{fmt.Errorf("--pause is %v; it is more than 0", pause)}
			}
			if pause > broker.MaxPause {
				return usageError{fmt.Errorf("--pause is %v; nodes stand still for %v at most", pause, broker.MaxPause)}
			}
			out, err := createBackup(args[0], cmd.OutOrStdout())
			if err != nil {
				return err
			}
			defer out.abandon()
			var made perdure.Backup
			err = c.with(cmd, func(ctx context.Context, client *perdure.Client) (err error) {
				made, err = client.Backup(ctx, out, perdure.Pause(pause))
				return err
			})
			if err == nil {
				err = out.commit()
			}
			if err != nil || out.file == nil {
				return err
			}
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), map[string]any{
					"file": args[0], "nodes": made.Nodes, "streams": made.Streams, "messages": made.Messages, "paused_ms": made.Paused.Milliseconds(),
				})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has %d messages of %d streams; %d nodes stood still for %v\n", args[0], made.Messages, made.Streams, made.Nodes, made.Paused.Round(time.Millisecond))
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().DurationVar(&pause, "pause", time.Minute, "how long nodes may stand still at most, up to 10m")
	return cmd
}

// A backupFile is written beside where it is to be, and put there when it is whole.
type backupFile struct {
	*bufio.Writer
	file *os.File // nil for standard output
	path string
}

func createBackup(path string, stdout io.Writer) (*backupFile, error) {
	if path == "-" {
		return &backupFile{Writer: bufio.NewWriter(stdout)}, nil
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, usageError{fmt.Errorf("there is a file %s already; name another one, or remove it", path)}
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return nil, usageError{fmt.Errorf("create %s: %w", path, err)}
	}
	return &backupFile{bufio.NewWriterSize(f, 1<<20), f, path}, nil
}

// commit makes the file durable, and puts it where it is to be.
func (b *backupFile) commit() error {
	if err := b.Flush(); err != nil || b.file == nil {
		return err
	}
	if err := errors.Join(b.file.Sync(), b.file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", b.path, err)
	}
	if err := os.Rename(b.file.Name(), b.path); err != nil {
		return fmt.Errorf("put %s in place: %w", b.path, err)
	}
	dir, err := os.Open(filepath.Dir(b.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// abandon removes what is not where it is to be.
func (b *backupFile) abandon() {
	if b.file != nil {
		_ = b.file.Close()           // it may be closed
		_ = os.Remove(b.file.Name()) // it is not there under this name where it is whole
	}
}
