//go:build !linux

package broker

import (
	"log/slog"
	"os"
)

// Async syncs are fsyncs for which no thread of ours waits, where the system has them.
type asyncSyncs struct{ log *slog.Logger }

// sync is [os.File.Sync].
func (*asyncSyncs) sync(f *os.File) error { return f.Sync() }

func (*asyncSyncs) close() {}
