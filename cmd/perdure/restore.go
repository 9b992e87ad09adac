package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func restoreCommand() *cobra.Command {
	var c connection
	var dir, durability string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a namespace from a backup, on another NATS",
		Long: `Make a namespace from a backup that 'perdure backup' wrote: in the data directory
of a node with NATS inside (--dir), or on a NATS server or cluster, which needs
nats-server 2.15 or later. It keeps its name and its number of partitions, and must
not be there yet.

No node opens it before it is complete. Start nodes after that: each run goes on
from where it was when the backup was taken. Nodes of the namespace that the backup
is of must not run any more, or both do the same work.

FILE is looked at to its end first: one that is damaged, or of a version that this
program does not know, is refused, and nothing is done. With - it is standard input,
of which that is said when it is found. A restore that was interrupted is begun
again by the same command.`,
		Example: `  perdure restore monday.backup --dir /var/lib/perdure
  perdure restore monday.backup --server nats://nats-1,nats://nats-2 --durability quorum`,
		Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			level, err := perdure.ParseDurability(durability)
			if err != nil {
				return usageError{err}
			}
			if level == perdure.Quorum && dir != "" {
				return usageError{fmt.Errorf("a directory holds one replica, and quorum takes three; use disk or process, or --server")}
			}
			if dir != "" && (c.server != "" || c.context != "") {
				return usageError{errors.New("--dir is for a node with NATS inside; name it, or a server, not both")}
			}
			in, err := openBackup(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }() // it was only read
			opts := []perdure.Option{perdure.WithDurability(level), perdure.Logger(slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError})))}
			url := ""
			if dir != "" {
				cfg, err := c.source.Load()
				if err != nil {
					return err
				}
				opts = append(opts, perdure.Dir(dir), perdure.Namespace(cfg.Namespace))
			} else {
				cfg, how, err := c.configured()
				if err != nil {
					return err
				}
				url, opts = cfg.URL, append(append(opts, perdure.WithConfig(cfg)), how...)
			}
			err = perdure.Restore(cmd.Context(), url, bufio.NewReaderSize(in, 1<<20), opts...)
			if errors.Is(err, perdure.ErrBackup) && args[0] != "-" { // it is whole, and of another namespace
				return usageError{err}
			}
			if err != nil {
				return err
			}
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), map[string]any{"file": args[0], "restored": true})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "restored %s; start the nodes now\n", args[0])
			return err
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "data directory of a node with NATS inside, in place of a server")
	f.StringVar(&durability, "durability", "disk", "what an acknowledged write is to survive: disk, process, or quorum for three replicas on a cluster")
	f.Lookup("namespace").Usage = "`NAME` of the namespace that the backup must be of (default the one that it is of)"
	return cmd
}

// openBackup opens a backup, a file once it was looked at.
func openBackup(path string, stdin io.Reader) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(stdin), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("read the backup: %w", err)}
	}
	err = perdure.CheckBackup(bufio.NewReaderSize(f, 1<<20))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close() // it was only read
		return nil, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return f, nil
}
