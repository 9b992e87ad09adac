package broker

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestAsyncSync(t *testing.T) {
	t.Parallel()
	s := asyncSyncs{log: slog.New(slog.DiscardHandler)}
	if a, err := newAsyncSync(); err == nil {
		a.close()
	} else {
		t.Logf("this kernel has no asynchronous fsync, so each is a system call: %v", err)
		s.none = true
	}
	had := s.none
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			f, err := os.Create(filepath.Join(t.TempDir(), "f"))
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			for range 20 {
				if _, err := f.WriteString("some"); err != nil {
					t.Error(err)
				}
				if err := s.sync(f); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(s.idle); s.none != had || (n == 0) != had || n > 20 {
		t.Errorf("%d were used, none is %v; want as many as were in flight at once", n, s.none)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := s.sync(f); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("the fsync of a closed file: %v", err)
	}
	if s.none != had {
		t.Error("after a closed file none is asynchronous")
	}
	s.close()
	if len(s.idle) != 0 {
		t.Error("some are left after close")
	}
	f, err = os.Create(filepath.Join(t.TempDir(), "late"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.sync(f); err != nil {
		t.Errorf("an fsync after close: %v", err)
	}
}

// An fsync that the kernel does not take asynchronously is one as ever.
func TestAsyncSync_WhereTheKernelRefuses(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe() // has no fsync
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	s := asyncSyncs{log: slog.New(slog.DiscardHandler)}
	defer s.close()
	if got, want := s.sync(w), w.Sync(); got == nil || got.Error() != want.Error() {
		t.Errorf("the fsync of a pipe: %v; want %v", got, want)
	}
	if !s.none {
		t.Error("the kernel is asked again and again")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.sync(f); err != nil {
		t.Error(err)
	}
}

// One of which it is not known whether its fsync has ended is not used for another.
func TestAsyncSync_WhereTheEventDoesNotCome(t *testing.T) {
	t.Parallel()
	s := asyncSyncs{log: slog.New(slog.DiscardHandler)}
	defer s.close()
	a := s.take()
	if a == nil {
		t.Log("this kernel has no asynchronous fsync")
		return
	}
	if err := a.event.SetReadDeadline(time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.give(a)
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.sync(f); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an fsync whose end is not told: %v; want an error", err)
	}
	if len(s.idle) != 0 || !s.none {
		t.Error("it is used again")
	}
	if err := s.sync(f); err != nil {
		t.Error(err)
	}
}
