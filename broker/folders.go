package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// makeFolders makes the folder of the streams in a data directory, and makes durable
// that it is there: the server, which would make it, leaves that to chance, and loss of
// power could take all streams with it.
func makeFolders(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("make the folder of streams: %w", err)
	}
	path := streamsRoot(dir)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("make the folder of streams: %w", err)
	}
	for inside := true; ; {
		err := syncFolder(path)
		if err != nil && inside {
			return fmt.Errorf("make durable that there is a folder of streams: %w", err)
		}
		inside = inside && path != dir
		above := filepath.Dir(path)
		if err != nil || above == path {
			return nil // a folder that is not ours to read was not made by us, nor those above it
		}
		path = above
	}
}

// mendStreams takes away the configurations of streams that loss of power has left empty.
// The server would neither use nor ever replace one, and find the stream anew at each
// start, without its consumers and made at another time; of one that is not there it
// makes another, with the messages that the stream has.
func mendStreams(dir string) error {
	root := streamsRoot(dir)
	streams, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("look at the configurations of streams: %w", err)
	}
	for _, s := range streams {
		config := filepath.Join(root, s.Name(), metaFile)
		info, err := os.Stat(config)
		if err != nil {
			continue // it has none
		}
		sum, err := os.Stat(filepath.Join(root, s.Name(), metaSumFile))
		if err == nil && info.Size() > 0 && sum.Size() > 0 {
			continue
		}
		if err := os.Remove(config); err != nil {
			return fmt.Errorf("remove the configuration of stream %s, which is not whole: %w", s.Name(), err)
		}
	}
	return nil
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
