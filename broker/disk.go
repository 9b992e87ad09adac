package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
// It leans on how the server lays its files out, which [Broker.prove] checks at each start:
// streams/NAME/msgs/N.blk, of which the one with the highest N is appended to. What
// takes the place of a message is in the same stream as that, so streams need not
// wait for each other.
type disk struct {
	root  string // the folder of streams
	held  string
	log   *slog.Logger
	links atomic.Uint64 // made so far; numbers their names
	fsync func(*os.File) error
	async func(*os.File) error // for several writers: they have work meanwhile
	link  func(file, name string) error

	mu      sync.Mutex
	streams map[string]*diskStream

	asyncs asyncSyncs
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
	disk *disk
	held string

	mu     sync.Mutex
	dir    folder // with meta.inf and meta.sum
	msgs   folder
	blocks map[int]*block
	last   int      // number of the block that is appended to
	fresh  bool     // folders have names that may not be on disk
	gone   []*block // that went since the last flush
}

// A block is a file of messages.
type block struct {
	n    int    // its number
	link string // its second name
	info fs.FileInfo
	file *os.File // nil once nothing is appended to it any more
	size int64    // bytes that are on disk
}

// heldDir is the folder of second names in a data directory.
const heldDir = "held"

// streamsRoot is where the embedded server has the streams of its one account.
func streamsRoot(dir string) string { return filepath.Join(dir, "jetstream", "$G", "streams") }

func openDisk(dir string, log *slog.Logger) *disk {
	d := &disk{
		root: streamsRoot(dir), held: filepath.Join(dir, heldDir), log: log, link: os.Link,
		fsync: (*os.File).Sync, streams: map[string]*diskStream{}, asyncs: asyncSyncs{log: log},
	}
	d.async = d.asyncs.sync
	return d
}

// holdAll holds the files that are there before the server starts, which may write them
// anew, or remove them, before anything is stored in their streams. All of them are on
// disk.
func (d *disk) holdAll() error {
	streams, err := os.ReadDir(d.root)
	if err != nil {
		return fmt.Errorf("hold what the server has stored: %w", err)
	}
	held := []dirtyFile{{path: d.held}}
	for _, e := range streams {
		s, err := d.stream(e.Name())
		if err == nil {
			held = append(held, dirtyFile{path: s.held})
			err = s.holdAll()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // otherwise it is not whole
			return fmt.Errorf("hold what stream %s has stored: %w", e.Name(), err)
		}
	}
	if err := syncAll(held, (*os.File).Sync); err != nil {
		return fmt.Errorf("make durable what is held: %w", err)
	}
	return nil
}

func (s *diskStream) holdAll() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.msgs.changed(); err != nil {
		return err
	}
	if err := s.list(); err != nil {
		return err
	}
	for n, b := range s.blocks {
		if n < s.last {
			b.size = b.info.Size()
			b.finish()
		}
	}
	return nil
}

// flush returns when everything that a stream had stored when it was called, for so
// many writers, is on disk. Where the disk has no room for names it waits for some,
// until ctx ends; an fsync that fails is an error that stays: nobody knows what it has
// lost.
func (d *disk) flush(ctx context.Context, stream string, writers int) error {
	for failed := 0; ; failed++ {
		s, err := d.stream(stream)
		if err == nil {
			err = s.flush(writers)
		}
		if err == nil || errors.Is(err, ErrDisk) || errors.Is(err, errProof) {
			return err
		}
		if errors.Is(err, fs.ErrNotExist) { // the stream was deleted, with what was stored in it
			d.forget(stream)
			return errLost
		}
		if failed%100 == 0 {
			d.log.Error("the files of the embedded NATS server cannot be held; nothing is acknowledged until they can", "stream", stream, "error", err)
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

// forget lets go of a stream that is not there. What is held of it would otherwise come
// back in the place of another of its name.
func (d *disk) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.streams[name]; s != nil {
		s.mu.Lock()
		s.close()
		s.mu.Unlock()
		delete(d.streams, name)
	}
	if _, err := os.Stat(filepath.Join(d.root, name)); errors.Is(err, fs.ErrNotExist) {
		if err := os.RemoveAll(filepath.Join(d.held, name)); err != nil {
			d.log.Warn("what was held of a deleted stream could not be removed", "stream", name, "error", err)
		}
	}
}

// knows returns an error if there is no such stream.
func (d *disk) knows(stream string) error {
	if stream == "" || strings.ContainsAny(stream, `./\`) {
		return fmt.Errorf("%q is no name of a stream", stream)
	}
	if _, err := os.Stat(filepath.Join(d.root, stream, metaFile)); err != nil {
		return fmt.Errorf("there is no stream %q: %w", stream, err)
	}
	return nil
}

// stream returns what is known of a stream.
func (d *disk) stream(name string) (*diskStream, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.streams[name]; s != nil {
		return s, nil
	}
	s := &diskStream{disk: d, held: filepath.Join(d.held, name)}
	if err := s.open(filepath.Join(d.root, name)); err != nil {
		return nil, err
	}
	d.streams[name] = s
	return s, nil
}

// newest returns the second name of the file that a stream appends to.
func (d *disk) newest(name string) (string, error) {
	s, err := d.stream(name)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blocks[s.last]
	if b == nil {
		return "", fmt.Errorf("%w: stream %s has no file of messages", errProof, name)
	}
	return b.link, nil
}

// metaFile is a stream's configuration, and metaSumFile its checksum.
const metaFile, metaSumFile = "meta.inf", "meta.sum"

// open begins to look at the files of a stream.
func (s *diskStream) open(path string) (err error) {
	s.blocks, s.last = map[int]*block{}, 0
	if s.dir, err = openFolder(path); err != nil {
		return err
	}
	if s.msgs, err = openFolder(filepath.Join(path, "msgs")); err == nil {
		err = os.MkdirAll(s.held, 0o755)
	}
	if err != nil {
		s.close()
	}
	return err
}

// close lets go of the files, of which those that are held stay so.
func (s *diskStream) close() {
	for _, f := range []*folder{&s.dir, &s.msgs} {
		if f.file != nil {
			_ = f.file.Close() // only read and synced
			f.file = nil
		}
	}
	for _, b := range s.blocks {
		b.finish()
	}
}

// flush makes durable what the stream has stored. An error matches [ErrDisk], or it
// may be tried again.
func (s *diskStream) flush(writers int) error {
	fsync := s.disk.fsync
	if writers > 1 {
		fsync = s.disk.async
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	dirty, err := s.look()
	if err != nil {
		s.again()
		return err
	}
	if err := syncAll(dirty, fsync); err != nil {
		s.again()
		return err
	}
	for _, f := range dirty {
		if f.block != nil {
			f.block.size = f.size
		}
	}
	s.fresh = false
	for n, b := range s.blocks {
		if n < s.last {
			b.finish()
		}
	}
	return s.letGo(fsync)
}

// again makes the next flush find again what this one had found.
func (s *diskStream) again() {
	s.dir.listed, s.msgs.listed, s.fresh = time.Time{}, time.Time{}, true
}

// letGo removes the second names of files that went before a flush. Where another file
// has the number of one, that must be on disk before anything more is in the other, or
// the first would come back in its place.
func (s *diskStream) letGo(fsync func(*os.File) error) error {
	again := false
	for _, b := range s.gone {
		other := s.blocks[b.n] != nil
		again = again || other
		err := os.Remove(b.link)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case other:
			return fmt.Errorf("remove the second name of a file that was written anew: %w", err)
		default:
			s.disk.log.Warn("a file that is needed no more could not be removed", "file", b.link, "error", err)
		}
	}
	if again {
		if err := syncAll([]dirtyFile{{path: s.held}}, fsync); err != nil {
			return err
		}
	}
	s.gone = s.gone[:0]
	return nil
}

// finish closes a block that is appended to no more.
func (b *block) finish() {
	if b.file != nil {
		_ = b.file.Close() // synced before, or gone
		b.file = nil
	}
}

// A dirtyFile is to be made durable: a block, a folder or another file.
type dirtyFile struct {
	path  string
	file  *os.File // nil: opened by its path
	block *block   // nil for others
	size  int64    // of the block as it was looked at
}

// look finds out what has changed since the last flush: blocks, folders and the
// stream's configuration.
func (s *diskStream) look() (dirty []dirtyFile, err error) {
	if s.dir.file == nil { // it could not be opened again when it was looked last
		if err := s.open(s.dir.path); err != nil {
			return nil, err
		}
	}
	changed, err := s.dir.changed()
	if err != nil {
		return nil, err
	}
	if changed {
		same, err := s.dir.same()
		if err == nil && !same { // deleted, and made again
			for _, b := range s.blocks {
				s.drop(b)
			}
			s.close()
			err = s.open(s.dir.path)
		} else if err == nil {
			err = s.swapped()
		}
		if err != nil {
			return nil, err
		}
		for _, name := range []string{metaFile, metaSumFile} {
			dirty = append(dirty, dirtyFile{path: filepath.Join(s.dir.path, name)})
		}
		dirty = append(dirty, dirtyFile{path: s.dir.path, file: s.dir.file}, dirtyFile{path: s.disk.root})
	}
	if changed, err = s.msgs.changed(); err != nil {
		return nil, err
	}
	if changed {
		if err := s.list(); err != nil {
			return nil, err
		}
	}
	if s.fresh {
		dirty = append(dirty, dirtyFile{path: s.msgs.path, file: s.msgs.file}, dirtyFile{path: s.held}, dirtyFile{path: s.disk.held})
	}
	for _, b := range s.blocks {
		if b.file == nil {
			continue
		}
		info, err := b.file.Stat()
		if err != nil {
			return nil, err
		}
		if info.Size() != b.size {
			dirty = append(dirty, dirtyFile{path: b.link, file: b.file, block: b, size: info.Size()})
		}
	}
	return dirty, nil
}

// swapped opens the folder of messages anew if it is another: the server puts a new one
// in its place when all messages are purged.
func (s *diskStream) swapped() error {
	same, err := s.msgs.same()
	if err != nil || same {
		return err
	}
	msgs, err := openFolder(s.msgs.path)
	if err != nil {
		return err
	}
	_ = s.msgs.file.Close() // only read and synced
	s.msgs, s.fresh = msgs, true
	return nil
}

// list reads which blocks the stream has.
func (s *diskStream) list() error {
	entries, err := os.ReadDir(s.msgs.path)
	if err != nil {
		return err
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
			return err
		}
		there[n] = true
		old := s.blocks[n]
		if old != nil && os.SameFile(old.info, info) {
			continue
		}
		b, err := s.hold(n)
		if errors.Is(err, fs.ErrNotExist) {
			delete(there, n)
			continue
		}
		if err != nil {
			return err
		}
		if old != nil { // written anew
			s.drop(old)
		}
		s.blocks[n] = b
		s.fresh = true
	}
	for n, b := range s.blocks {
		if !there[n] {
			s.drop(b)
			delete(s.blocks, n)
		}
	}
	// A server that starts may remove the last one, and go on with the one before.
	s.last = 0
	for n := range s.blocks {
		s.last = max(s.last, n)
	}
	if b := s.blocks[s.last]; b != nil && b.file == nil {
		b.size = -1
		b.file, err = os.OpenFile(b.link, os.O_RDWR, 0)
	}
	return err
}

// drop lets a block go once the next flush is done.
func (s *diskStream) drop(b *block) {
	b.finish()
	s.gone = append(s.gone, b)
}

// hold gives a block its second name. The error matches errProof where a file cannot
// have two.
func (s *diskStream) hold(n int) (*block, error) {
	b := &block{n: n, link: filepath.Join(s.held, fmt.Sprintf("%d.%d", n, s.disk.links.Add(1))), size: -1}
	err := s.disk.link(filepath.Join(s.msgs.path, strconv.Itoa(n)+blockSuffix), b.link)
	switch {
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %w", errProof, err)
	case err != nil:
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

// syncAll makes files durable, at once: a file system then writes its log once for all.
// The error matches [ErrDisk] if that failed of one; a file that could not be opened is
// another matter, and may be tried again.
func syncAll(dirty []dirtyFile, fsync func(*os.File) error) error {
	switch len(dirty) {
	case 0:
		return nil
	case 1:
		return dirty[0].sync(fsync)
	}
	errs := make([]error, len(dirty))
	var wg sync.WaitGroup
	for i, f := range dirty {
		wg.Go(func() { errs[i] = f.sync(fsync) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f *dirtyFile) sync(fsync func(*os.File) error) error {
	sync := func(file *os.File) error {
		if err := fsync(file); err != nil {
			return fmt.Errorf("%w: %w", ErrDisk, err)
		}
		return nil
	}
	if f.file != nil {
		return sync(f.file)
	}
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went, and what it held with it
	}
	if err != nil {
		return err
	}
	return errors.Join(sync(file), file.Close())
}

// release closes all files. Those that are held stay so.
func (d *disk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.streams {
		s.close()
	}
	d.asyncs.close()
}
