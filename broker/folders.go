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

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
