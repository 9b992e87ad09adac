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
	"strconv"
	"strings"
	"sync"
	"time"
)

// A disk makes durable what the embedded server has stored. The server writes a
// message to a file of its stream before it acknowledges it, and leaves the fsync
// to us, which is then one for the messages of many runs.
//
// It also keeps what the server removes too early. A message that takes the place of
// others (a record, a value of a key, what a schedule becomes) removes these as soon
// as it is stored, and a file that has none left goes: that could reach the disk
// before the message does, and loss of power between the two would take both. So
// every file of messages has a second name, in the folder held, until all that was
// stored when it went is on disk; [restoreHeld] gives it its name back.
//
// It leans on how the server lays its files out, which [prove] checks at each start:
// streams/NAME/msgs/N.blk, of which the one with the highest N is appended to. One
// goroutine at a time calls its methods.
type disk struct {
	root  string // the folder of streams
	held  string
	log   *slog.Logger
	links int // made so far; numbers their names

	dir     folder
	streams map[string]*diskStream
	gone    []string // second names of files that went since the last flush
}

// A folder is a directory and what is known of its listing.
type folder struct {
	path   string
	file   *os.File
	mtime  time.Time // when it was listed
	listed time.Time
}

// mtimeStep is more than the steps in which any file system counts the times of
// changes: what was listed within it of the last change may have changed since.
const mtimeStep = 100 * time.Millisecond

func openFolder(path string) (folder, error) {
	f, err := os.Open(path)
	return folder{path: path, file: f}, err
}

// changed reports whether the folder may have other entries than when this last
// reported true.
func (f *folder) changed() (bool, error) {
	now := time.Now()
	info, err := f.file.Stat()
	if err != nil {
		return false, err
	}
	if info.ModTime().Equal(f.mtime) && f.listed.Sub(f.mtime) > mtimeStep {
		return false, nil
	}
	f.mtime, f.listed = info.ModTime(), now
	return true, nil
}

// same reports whether the folder is still the one of its name.
func (f *folder) same() (bool, error) {
	now, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	then, err := f.file.Stat()
	return err == nil && os.SameFile(now, then), err
}

// A diskStream is the files of one stream.
type diskStream struct {
	dir    folder // with meta.inf and meta.sum
	msgs   folder
	held   string
	blocks map[int]*block
	last   int // number of the block that is appended to
}

// A block is a file of messages.
type block struct {
	link string // its second name
	info fs.FileInfo
	file *os.File // nil once nothing is appended to it any more
	size int64    // bytes that are on disk
}

// heldDir is the folder of second names in a data directory.
const heldDir = "held"

// streamsRoot is where the embedded server has the streams of its one account.
func streamsRoot(dir string) string { return filepath.Join(dir, "jetstream", "$G", "streams") }

// openDisk begins to hold files of the data directory dir, whose server runs.
func openDisk(dir string, log *slog.Logger) (*disk, error) {
	d := &disk{root: streamsRoot(dir), held: filepath.Join(dir, heldDir), log: log, streams: map[string]*diskStream{}}
	if err := os.MkdirAll(d.root, 0o755); err != nil {
		return nil, err
	}
	var err error
	d.dir, err = openFolder(d.root)
	return d, err
}

// flush returns when everything that the server had stored when it was called is on
// disk. Where the disk has no room for names it waits for some, until ctx ends; an
// fsync that fails is an error that stays: nobody knows what it has lost.
func (d *disk) flush(ctx context.Context) error {
	for failed := 0; ; failed++ {
		dirty, err := d.look()
		if err == nil {
			return d.sync(dirty)
		}
		if failed%100 == 0 {
			d.log.Error("the files of the embedded NATS server cannot be held; nothing is acknowledged until they can", "error", err)
		}
		t := time.NewTimer(retryWaitMax)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// look finds out what has changed since the last flush: blocks, each with its size
// as of now, and folders and other files.
func (d *disk) look() (dirty []dirtyFile, err error) {
	if err := d.lookForStreams(); err != nil {
		return nil, err
	}
	for name, s := range d.streams {
		if dirty, err = d.lookAt(s, dirty); errors.Is(err, fs.ErrNotExist) {
			continue // it is being removed
		} else if err != nil {
			return nil, fmt.Errorf("look at the files of stream %s: %w", name, err)
		}
	}
	return dirty, nil
}

// A dirtyFile is to be made durable: a block, a folder or another file.
type dirtyFile struct {
	path  string
	file  *os.File // nil: opened by its path
	block *block   // nil for a folder
	size  int64
}

func (d *disk) lookForStreams() error {
	if changed, err := d.dir.changed(); err != nil || !changed {
		return err
	}
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return err
	}
	for name, s := range d.streams {
		if same, err := s.dir.same(); err != nil {
			return err
		} else if !same {
			d.forget(name)
		}
	}
	for _, e := range entries {
		name := e.Name()
		if d.streams[name] != nil || !e.IsDir() {
			continue
		}
		s, err := d.openStream(name)
		if errors.Is(err, fs.ErrNotExist) {
			d.dir.listed = time.Time{} // it is being made, and comes again
			continue
		}
		if err != nil {
			return err
		}
		d.streams[name] = s
	}
	return nil
}

// forget lets go of a stream that was deleted.
func (d *disk) forget(name string) {
	s := d.streams[name]
	for _, b := range s.blocks {
		d.drop(b)
	}
	s.close()
	delete(d.streams, name)
}

func (d *disk) openStream(name string) (*diskStream, error) {
	path := filepath.Join(d.root, name)
	s := &diskStream{held: filepath.Join(d.held, name), blocks: map[int]*block{}}
	var err error
	if s.dir, err = openFolder(path); err != nil {
		return nil, err
	}
	if s.msgs, err = openFolder(filepath.Join(path, "msgs")); err == nil {
		err = os.MkdirAll(s.held, 0o755)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *diskStream) close() {
	_ = s.dir.file.Close() // only read and synced
	if s.msgs.file != nil {
		_ = s.msgs.file.Close()
	}
	for _, b := range s.blocks {
		b.finish()
	}
}

// finish closes a block that is appended to no more.
func (b *block) finish() {
	if b.file != nil {
		_ = b.file.Close() // synced before, or gone
		b.file = nil
	}
}

func (d *disk) lookAt(s *diskStream, dirty []dirtyFile) ([]dirtyFile, error) {
	changed, err := s.dir.changed()
	if err != nil {
		return dirty, err
	}
	if changed { // its configuration is written anew
		for _, name := range []string{"meta.inf", "meta.sum"} {
			dirty = append(dirty, dirtyFile{path: filepath.Join(s.dir.path, name)})
		}
		dirty = append(dirty, dirtyFile{path: s.dir.path, file: s.dir.file}, dirtyFile{path: d.root, file: d.dir.file})
	}
	if changed, err = s.msgs.changed(); err != nil {
		return dirty, err
	}
	if changed {
		fresh, err := d.list(s)
		if err != nil {
			s.msgs.listed = time.Time{} // once more
			return dirty, err
		}
		if fresh {
			dirty = append(dirty, dirtyFile{path: s.msgs.path, file: s.msgs.file}, dirtyFile{path: s.held}, dirtyFile{path: d.held})
		}
	}
	for _, b := range s.blocks {
		if b.file == nil {
			continue
		}
		info, err := b.file.Stat()
		if err != nil {
			return dirty, err
		}
		if info.Size() != b.size {
			dirty = append(dirty, dirtyFile{path: b.link, file: b.file, block: b, size: info.Size()})
		}
	}
	return dirty, nil
}

// list reads which blocks a stream has, and reports whether there are new ones.
func (d *disk) list(s *diskStream) (fresh bool, err error) {
	entries, err := os.ReadDir(s.msgs.path)
	if err != nil {
		return false, err
	}
	there := map[int]bool{}
	for _, e := range entries {
		n, ok := blockNumber(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			return false, err
		}
		there[n] = true
		old := s.blocks[n]
		if old != nil && os.SameFile(old.info, info) {
			continue
		}
		b, err := d.hold(s, n)
		if errors.Is(err, fs.ErrNotExist) {
			delete(there, n)
			continue
		}
		if err != nil {
			return false, err
		}
		if old != nil { // written anew
			d.drop(old)
		}
		s.blocks[n] = b
		s.last = max(s.last, n)
		fresh = true
	}
	for n, b := range s.blocks {
		if !there[n] {
			d.drop(b)
			delete(s.blocks, n)
		}
	}
	return fresh, nil
}

// drop lets a block go once the next flush is done.
func (d *disk) drop(b *block) {
	b.finish()
	d.gone = append(d.gone, b.link)
}

// hold gives a block its second name.
func (d *disk) hold(s *diskStream, n int) (*block, error) {
	d.links++
	b := &block{link: filepath.Join(s.held, fmt.Sprintf("%d.%d", n, d.links)), size: -1}
	err := os.Link(filepath.Join(s.msgs.path, strconv.Itoa(n)+blockSuffix), b.link)
	if err != nil {
		return nil, err
	}
	if b.file, err = os.OpenFile(b.link, os.O_RDWR, 0); err == nil {
		b.info, err = b.file.Stat()
	}
	if err != nil {
		b.finish()
		return nil, errors.Join(err, os.Remove(b.link))
	}
	return b, nil
}

const blockSuffix = ".blk"

func blockNumber(name string) (int, bool) {
	digits, ok := strings.CutSuffix(name, blockSuffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

// sync makes what look has found durable, and lets go what had to be held until then.
func (d *disk) sync(dirty []dirtyFile) error {
	if err := syncAll(dirty); err != nil {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	for _, f := range dirty {
		if f.block != nil {
			f.block.size = f.size
		}
	}
	for s := range maps.Values(d.streams) {
		for n, b := range s.blocks {
			if n < s.last {
				b.finish()
			}
		}
	}
	for _, link := range d.gone {
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.log.Warn("a file that is needed no more could not be removed", "file", link, "error", err)
		}
	}
	d.gone = d.gone[:0]
	return nil
}

// syncAll makes files durable, at once: a file system then writes its log once for all.
func syncAll(dirty []dirtyFile) error {
	if len(dirty) == 1 {
		return dirty[0].sync()
	}
	slices.SortFunc(dirty, func(a, b dirtyFile) int { return strings.Compare(a.path, b.path) })
	dirty = slices.CompactFunc(dirty, func(a, b dirtyFile) bool { return a.path == b.path })
	errs := make([]error, len(dirty))
	var wg sync.WaitGroup
	for i, f := range dirty {
		wg.Go(func() { errs[i] = f.sync() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f *dirtyFile) sync() error {
	if f.file != nil {
		return f.file.Sync()
	}
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went, and what it held with it
	}
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// release closes all files. Those that are held stay so.
func (d *disk) release() error {
	for _, s := range d.streams {
		s.close()
	}
	return d.dir.file.Close()
}
