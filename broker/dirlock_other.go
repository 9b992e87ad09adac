//go:build !unix

package broker

import (
	"errors"
	"fmt"
	"os"
)

var errLocked = errors.New("file is locked")

// lockFile has no lock to take here, and says so: two processes in one data
// directory would destroy it.
func lockFile(*os.File) error {
	return fmt.Errorf("an embedded server needs file locks, which this operating system offers in another way: use an external NATS server: %w", errors.ErrUnsupported)
}

func unlockFile(*os.File) error { return nil }
