//go:build !linux

package broker

import "os"

// Async syncs are fsyncs for which no thread of ours waits, where the system has them.
type asyncSyncs struct{}

// sync is [os.File.Sync].
func (*asyncSyncs) sync(f *os.File) error { return f.Sync() }

func (*asyncSyncs) close() {}
