package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A folderOfServer is a data directory with the files of one stream, as a server has
// them.
type folderOfServer struct {
	*testing.T
	dir  string
	disk *disk

	mu     sync.Mutex
	synced map[string]int64 // size of each file when it was last fsynced, by its path
}

const testStream = "S"

func newFolderOfServer(t *testing.T) *folderOfServer {
	f := &folderOfServer{T: t, dir: t.TempDir(), synced: map[string]int64{}}
	f.must(os.MkdirAll(f.msgs(), 0o755), os.WriteFile(filepath.Join(f.msgs(), "..", metaFile), []byte("{}"), 0o644))
	f.begin()
	return f
}

// begin is the start of a process.
func (f *folderOfServer) begin() {
	f.must(restoreHeld(f.dir, slog.Default()), beginHeld(f.dir))
	f.disk = openDisk(f.dir, slog.Default())
	f.Cleanup(f.disk.release)
	f.disk.async = func(file *os.File) error {
		info, err := file.Stat()
		f.mu.Lock()
		f.synced[file.Name()] = info.Size()
		f.mu.Unlock()
		return errors.Join(err, file.Sync())
	}
}

func (f *folderOfServer) must(errs ...error) {
	f.Helper()
	if err := errors.Join(errs...); err != nil {
		f.Fatal(err)
	}
}

func (f *folderOfServer) msgs() string { return filepath.Join(streamsRoot(f.dir), testStream, "msgs") }

func (f *folderOfServer) block(n int) string {
	return filepath.Join(f.msgs(), fmt.Sprint(n)+blockSuffix)
}

// append adds text to a block, which it makes if it is not there.
func (f *folderOfServer) append(n int, text string) {
	f.Helper()
	file, err := os.OpenFile(f.block(n), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	f.must(err)
	_, err = file.WriteString(text)
	f.must(err, file.Close())
}

func (f *folderOfServer) flush() {
	f.Helper()
	f.must(f.disk.flush(f.Context(), testStream, 2))
}

// held returns the contents of the files that are held, sorted.
func (f *folderOfServer) held() []string {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join(f.dir, heldDir, testStream, "*"))
	f.must(err)
	var out []string
	for _, p := range paths {
		data, err := os.ReadFile(p)
		f.must(err)
		out = append(out, string(data))
	}
	slices.Sort(out)
	return out
}

// read returns the contents of the blocks, by their numbers.
func (f *folderOfServer) read() map[int]string {
	f.Helper()
	entries, err := os.ReadDir(f.msgs())
	f.must(err)
	out := map[int]string{}
	for _, e := range entries {
		if n, ok := blockNumber(e.Name()); ok {
			data, err := os.ReadFile(f.block(n))
			f.must(err)
			out[n] = string(data)
		}
	}
	return out
}

// onDisk checks that the files held under the name of a block were fsynced with size
// bytes, all of them.
func (f *folderOfServer) onDisk(n int, size int64) {
	f.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, have := range f.synced {
		if strings.HasPrefix(path, filepath.Join(f.dir, heldDir, testStream, fmt.Sprint(n)+".")) && have == size {
			return
		}
	}
	f.Errorf("block %d has not been fsynced with %d bytes; fsynced were %v", n, size, f.synced)
}

// otherBoot makes what is held be of another boot of the machine.
func (f *folderOfServer) otherBoot() {
	f.Helper()
	f.must(os.WriteFile(filepath.Join(f.dir, heldDir, bootName), []byte("another"), 0o644))
}

func TestDisk_WhatIsNewIsFsynced(t *testing.T) {
	t.Parallel()
	f := newFolderOfServer(t)
	f.append(1, "one")
	f.flush()
	f.onDisk(1, 3)
	f.append(1, "more")
	f.flush()
	f.onDisk(1, 7)
	for n := 2; n < 5; n++ { // the end of a block, and those that follow it, in one round
		f.append(n-1, "end")
		f.append(n, "begin")
	}
	f.flush()
	f.onDisk(1, 10)
	f.onDisk(3, 8)
	f.onDisk(4, 5)
	clear(f.synced)
	f.append(4, "!")
	f.flush()
	f.onDisk(4, 6)
	for path := range maps.Keys(f.synced) {
		if filepath.Ext(path) != "" && !strings.Contains(path, "/4.") && !strings.Contains(path, "meta") {
			t.Errorf("%s was fsynced, and had not changed", path)
		}
	}
}

// TestDisk_AFileThatCannotBeOpenedIsTriedAgain: a process may have too many files open for
// a moment. That is no fsync that failed, after which nothing is known.
func TestDisk_AFileThatCannotBeOpenedIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFolderOfServer(t)
	f.append(1, "one")
	f.flush()
	loop := filepath.Join(f.msgs(), "..", metaSumFile)
	f.must(os.Symlink(metaSumFile, loop))
	f.append(1, "more")
	s, err := f.disk.stream(testStream)
	f.must(err)
	if err := s.flush(1); err == nil || errors.Is(err, ErrDisk) {
		t.Errorf("a file that cannot be opened: %v; want an error that does not stay", err)
	}
	f.must(os.Remove(loop))
	f.flush()
	f.onDisk(1, 7)
	failed := errors.New("the disk is broken")
	f.disk.fsync = func(*os.File) error { return failed }
	f.append(1, "!")
	if err := s.flush(1); !errors.Is(err, ErrDisk) || !errors.Is(err, failed) {
		t.Errorf("an fsync that fails: %v; want that it stays", err)
	}
}

func TestDisk_ARemovedFileIsHeldUntilTheNextRound(t *testing.T) {
	t.Parallel()
	f := newFolderOfServer(t)
	f.append(1, "old")
	f.flush()
	f.append(2, "new") // which takes the place of all in block 1
	f.must(os.Remove(f.block(1)))
	if got := f.held(); !slices.Contains(got, "old") {
		t.Fatalf("%q are held; want the removed file among them", got)
	}
	f.flush()
	if got := f.held(); !slices.Equal(got, []string{"new"}) {
		t.Errorf("%q are held once all is on disk; want only what is there", got)
	}
	f.append(3, "newer")
	f.must(os.WriteFile(f.block(2)+".tmp", []byte("ne"), 0o644), os.Rename(f.block(2)+".tmp", f.block(2))) // written anew
	if got := f.held(); !slices.Contains(got, "new") {
		t.Fatalf("%q are held; want the replaced file among them", got)
	}
	f.flush()
	if got := f.held(); !slices.Equal(got, []string{"ne", "newer"}) {
		t.Errorf("%q are held once all is on disk; want only what is there", got)
	}
}

func TestDisk_AStreamIsMadeAgain(t *testing.T) {
	t.Parallel()
	f := newFolderOfServer(t)
	f.append(1, "old")
	f.flush()
	root := filepath.Join(f.msgs(), "..")
	f.must(os.RemoveAll(root))
	if err := f.disk.flush(t.Context(), testStream, 2); err != errLost {
		t.Errorf("what was stored in a stream that is gone: %v; want that it is lost", err)
	}
	f.must(os.MkdirAll(f.msgs(), 0o755), os.WriteFile(filepath.Join(root, metaFile), []byte("{}"), 0o644))
	f.append(1, "newer")
	f.flush()
	f.onDisk(1, 5)
	// made again between two rounds, and not to be opened at first
	f.must(os.RemoveAll(root), os.MkdirAll(root, 0o755), os.WriteFile(filepath.Join(root, metaFile), []byte("{}"), 0o644), os.Symlink("msgs", f.msgs()))
	s, err := f.disk.stream(testStream)
	f.must(err)
	if err := s.flush(1); err == nil {
		t.Error("a folder that cannot be opened is flushed")
	}
	f.must(os.Remove(f.msgs()), os.Mkdir(f.msgs(), 0o755))
	f.append(1, "newest")
	f.flush()
	f.onDisk(1, 6)
}

func TestRestoreHeld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		power bool // was lost
		want  map[int]string
	}{
		"the process was killed": {false, map[int]string{2: "2", 3: "new"}},
		"power was lost":         {true, map[int]string{1: "1", 2: "two", 3: "new"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolderOfServer(t)
			f.append(1, "1")
			f.append(2, "two")
			f.flush()
			f.append(3, "new")
			f.must(os.Remove(f.block(1)))
			f.must(os.WriteFile(f.block(2)+".tmp", []byte("2"), 0o644), os.Rename(f.block(2)+".tmp", f.block(2)))
			index := filepath.Join(f.msgs(), "index.db")
			f.must(os.WriteFile(index, []byte("?"), 0o644))
			if c.power {
				f.otherBoot()
			}
			f.begin()
			if got := f.read(); !maps.Equal(got, c.want) {
				t.Errorf("blocks are %v after the restart; want %v", got, c.want)
			}
			if _, err := os.Stat(index); errors.Is(err, fs.ErrNotExist) != c.power {
				t.Errorf("index after the restart: %v; it goes with loss of power only", err)
			}
			if got := f.held(); len(got) != 0 {
				t.Errorf("%q are still held", got)
			}
		})
	}
}

func TestRestoreHeld_OfTheSameNumberTheFirstCounts(t *testing.T) {
	t.Parallel()
	f := newFolderOfServer(t)
	f.append(1, "everything")
	f.append(2, "last")
	f.flush()
	f.must(os.WriteFile(f.block(1)+".tmp", []byte("some"), 0o644), os.Rename(f.block(1)+".tmp", f.block(1)))
	f.disk.async = func(*os.File) error { return syscall.EIO } // the round that saw it does not end
	if err := f.disk.flush(t.Context(), testStream, 2); !errors.Is(err, ErrDisk) {
		t.Fatalf("a failed fsync: %v; want ErrDisk", err)
	}
	if got := f.held(); !slices.Equal(got, []string{"everything", "last", "some"}) {
		t.Fatalf("%q are held", got)
	}
	for range 2 { // as it is when the restoring process is killed, too
		f.otherBoot()
		f.must(restoreFiles(f.dir, filepath.Join(f.dir, heldDir), slog.Default()))
		if got := f.read(); got[1] != "everything" {
			t.Errorf("block 1 is %q; want what it was before", got[1])
		}
	}
}

// openAt opens a broker at durability disk.
func openAt(t *testing.T, dir string, with func(*Config)) *Broker {
	t.Helper()
	cfg := Config{Dir: dir, Partitions: 1, Kinds: []schemas.Kind{"wf"}, Logger: slog.New(slog.DiscardHandler)}
	if with != nil {
		with(&cfg)
	}
	b, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func appendOne(ctx context.Context, b *Broker, key string, after uint64) (schemas.Outcome, error) {
	return b.Journal().Append(ctx, schemas.Identity{Kind: "wf", Key: key}.Run("1"), after, &schemas.Entry{Epoch: 1, Counter: after + 1, Nonce: []byte(key)})
}

func TestOpen_ProvesHowTheServerKeepsItsFiles(t *testing.T) {
	t.Parallel()
	if b := openAt(t, t.TempDir(), nil); b.pub.commits == nil || !grouped(b.link.nc) {
		t.Error("at durability disk each message has an fsync of its own")
	}
	if b := openAt(t, t.TempDir(), func(c *Config) { c.SyncAlways = true }); b.pub.commits != nil || grouped(b.link.nc) {
		t.Error("SyncAlways has no effect")
	}
	dir := t.TempDir()
	b := openAt(t, dir, func(c *Config) {
		c.spoil = func(d *disk) {
			d.link = func(string, string) error { return &os.LinkError{Op: "link", Err: syscall.EPERM} }
		}
	})
	if b.pub.commits != nil || grouped(b.link.nc) {
		t.Error("where a file cannot have two names, messages are fsynced in rounds")
	}
	if _, err := appendOne(t.Context(), b, "k", 0); err != nil {
		t.Error(err)
	}
	if w, err := b.Done().Watch(t.Context(), schemas.Identity{Kind: "wf", Key: "k"}.Run("1")); err != nil {
		t.Errorf("a watch of a run: %v", err)
	} else {
		w.Stop()
	}
	if _, err := os.Stat(filepath.Join(dir, heldDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of held files: %v; want that it is gone", err)
	}
}

func TestAppend_ReturnsAfterTheFsync(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	failing := false
	release := make(chan struct{})
	b := openAt(t, t.TempDir(), func(c *Config) {
		c.spoil = func(d *disk) {
			d.fsync = func(f *os.File) error {
				if !strings.Contains(f.Name(), "_RUNS"+string(filepath.Separator)) {
					return f.Sync()
				}
				<-release
				mu.Lock()
				defer mu.Unlock()
				if failing {
					return syscall.EIO
				}
				return f.Sync()
			}
		}
	})
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := appendOne(short, b, "k", 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("an append whose fsync does not end: %v", err)
	}
	close(release)
	out, err := appendOne(t.Context(), b, "k", 0) // found to be stored, and made durable
	if err != nil || out.Fenced || out.Seq == 0 {
		t.Fatalf("the same append again: %+v, %v", out, err)
	}
	mu.Lock()
	failing = true
	mu.Unlock()
	if _, err := appendOne(t.Context(), b, "k", out.Seq); !errors.Is(err, ErrDisk) {
		t.Errorf("an append whose fsync fails: %v; want ErrDisk", err)
	}
	mu.Lock()
	failing = false
	mu.Unlock()
	if _, err := appendOne(t.Context(), b, "other", 0); !errors.Is(err, ErrDisk) {
		t.Errorf("an append after an fsync that failed: %v; want ErrDisk, since nobody knows what that has lost", err)
	}
}

func TestRounds_AnotherProcessWaitsForThem(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	flushed := map[string]int{}
	b := openAt(t, t.TempDir(), func(c *Config) { c.Listen = "127.0.0.1:0" })
	do := b.pub.commits.do
	b.pub.commits.do = func(ctx context.Context, stream string, writers int) error {
		mu.Lock()
		flushed[stream]++
		mu.Unlock()
		return do(ctx, stream, writers)
	}
	other := openAt(t, "", func(c *Config) { c.URL = b.ClientURL() })
	mu.Lock()
	clear(flushed)
	mu.Unlock()
	if _, err := appendOne(t.Context(), other, "k", 0); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if flushed[b.runs.stream] != 1 {
		t.Errorf("the append of another process took the rounds %v; want one of %s", flushed, b.runs.stream)
	}
	clear(flushed)
	mu.Unlock()
	careless := openAt(t, "", func(c *Config) { c.URL, c.Durability = b.ClientURL(), Process })
	if _, err := appendOne(t.Context(), careless, "l", 0); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(flushed) != 0 {
		t.Errorf("an append at durability process took the rounds %v", flushed)
	}
	for _, name := range []string{"", "nothing", "../" + b.runs.stream, "a.b"} {
		answer, err := other.link.nc.Request(roundSubject(b.names.ns), []byte(name), 5*time.Second)
		if err != nil || len(answer.Data) == 0 {
			t.Errorf("a round of the stream %q: %v, %v; want that there is none", name, answer, err)
		}
		// It was deleted, and what was stored in it may be stored again.
		if err := other.pub.askRound(t.Context(), name, 1); err != errLost {
			t.Errorf("a writer in the stream %q of another process is told %v; want errLost", name, err)
		}
	}
}
