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
