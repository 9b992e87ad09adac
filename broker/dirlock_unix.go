//go:build unix

package broker

import (
	"errors"
	"os"
	"syscall"
)

var errLocked = errors.New("file is locked")

func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

// unlockFile releases the lock for all who have the file open: a child that was forked
// just now has it until it is another program.
func unlockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
