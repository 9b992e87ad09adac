package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the file in a data directory that is locked by the process that
// uses it, and holds its process ID. Its presence marks the directory as ours.
const lockName = "perdure.lock"

// A dirLock keeps other processes out of a data directory. The operating
// system releases it when the process ends, however it ends.
type dirLock struct{ file *os.File }

// lockDir creates dir if needed, checks that it is Perdure's, and locks it.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create data directory %s: %w: %w", dir, ErrDirUnusable, err)
	}
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w: %w", path, ErrDirUnusable, err)
	}
	if err := lockFile(f); err != nil {
		holder := readHolder(path)
		_ = f.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("open data directory %s: %w by process %s; stop that process or use another directory", dir, ErrDirInUse, holder)
		}
		return nil, fmt.Errorf("lock %s: %w: %w", path, ErrDirUnusable, err)
	}
	if err := writeHolder(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write %s: %w: %w", path, ErrDirUnusable, err)
	}
	return &dirLock{f}, nil
}

// checkDir refuses a directory that holds something and was not made by
// lockDir.
func checkDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read data directory %s: %w: %w", dir, ErrDirUnusable, err)
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, lockName)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open data directory %s: %w: it has no %s but %s; use an empty or a new directory", dir, ErrDirForeign, lockName, entries[0].Name())
	} else if err != nil {
		return fmt.Errorf("read data directory %s: %w: %w", dir, ErrDirUnusable, err)
	}
	return nil
}

func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func readHolder(path string) string {
	b, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

func (l *dirLock) release() error { return errors.Join(unlockFile(l.file), l.file.Close()) }
