package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// bootName is the file among the second names that says in which boot of the machine
// they were made.
const bootName = "boot"

// restoreHeld looks, before a server starts in dir, for files that a [disk] held when
// its process ended. In the same boot of the machine nothing that was written is
// lost: it is made durable, and they go. Otherwise the machine may have lost power,
// and with it the messages for which the server had removed others: what has no name
// but its second one gets the first back, with messages that were removed before.
// That these come back harms nothing, as a removal may always be undone until it is
// on disk.
func restoreHeld(dir string, log *slog.Logger) error {
	held := filepath.Join(dir, heldDir)
	then, err := os.ReadFile(filepath.Join(held, bootName))
	switch now := bootID(); {
	case errors.Is(err, fs.ErrNotExist): // there is none, or it was not needed any more
		return removeHeld(held)
	case err != nil:
		return fmt.Errorf("read what is held: %w", err)
	case len(now) > 0 && bytes.Equal(now, then):
		err = syncTree(streamsRoot(dir))
	default:
		err = restoreFiles(dir, held, log)
	}
	if err != nil {
		return fmt.Errorf("restore what is held: %w", err)
	}
	return removeHeld(held)
}

// removeHeld removes what is held no more, and the note of its boot first: of what may
// be left after loss of power nothing is restored, as a part of it would be too late a
// state.
func removeHeld(held string) error {
	err := os.Remove(filepath.Join(held, bootName))
	if err == nil {
		err = syncFolder(held)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.RemoveAll(held)
	}
	if err != nil {
		return fmt.Errorf("remove what is held no more: %w", err)
	}
	return nil
}

// syncsAtOnce is how many files are made durable at once where there are many: one
// write of a file system's log then serves several.
const syncsAtOnce = 16

// syncTree makes everything below a folder durable.
func syncTree(root string) error {
	var all []dirtyFile
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && (e.IsDir() || e.Type().IsRegular()) {
			all = append(all, dirtyFile{path: path})
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	for some := range slices.Chunk(all, syncsAtOnce) {
		err = errors.Join(err, syncAll(some, (*os.File).Sync))
	}
	return err
}

// beginHeld makes the folder in which a [disk] holds files.
func beginHeld(dir string) error {
	held := filepath.Join(dir, heldDir)
	if err := os.MkdirAll(held, 0o755); err != nil {
		return fmt.Errorf("make the folder of what is held: %w", err)
	}
	boot := filepath.Join(held, bootName)
	if err := os.WriteFile(boot, bootID(), 0o644); err != nil {
		return fmt.Errorf("note the machine's boot: %w", err)
	}
	return syncAll([]dirtyFile{{path: boot}, {path: held}, {path: dir}}, (*os.File).Sync)
}

// bootID is unlike in each boot of the machine; empty where it is not known.
func bootID() []byte {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id") // Linux
	if err != nil {
		return nil
	}
	return bytes.TrimSpace(id)
}

func restoreFiles(dir, held string, log *slog.Logger) error {
	streams, err := os.ReadDir(held)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range streams {
		if !s.IsDir() {
			continue
		}
		stream := filepath.Join(streamsRoot(dir), s.Name())
		if _, err := os.Stat(filepath.Join(stream, "msgs")); errors.Is(err, fs.ErrNotExist) {
			continue // it was deleted, or never was whole
		} else if err != nil {
			return err
		}
		n, err := restoreStream(filepath.Join(stream, "msgs"), filepath.Join(held, s.Name()))
		if err != nil {
			return fmt.Errorf("stream %s: %w", s.Name(), err)
		}
		if n > 0 {
			log.Warn("files of messages were restored that the machine had removed when it went down", "stream", s.Name(), "files", n)
		}
	}
	return nil
}

// restoreStream gives the blocks of a stream their names back. Of those held under one
// number the first has all that the later have.
func restoreStream(msgs, held string) (n int, err error) {
	links, err := os.ReadDir(held)
	if err != nil {
		return 0, err
	}
	first := map[string]int{}
	for _, l := range links {
		number, link, ok := strings.Cut(l.Name(), ".")
		made, err := strconv.Atoi(link)
		if !ok || err != nil {
			return 0, fmt.Errorf("%s is not a file of Perdure's; take it away", filepath.Join(held, l.Name()))
		}
		if old, ok := first[number]; !ok || made < old {
			first[number] = made
		}
	}
	for number, made := range first {
		link, path := filepath.Join(held, fmt.Sprintf("%s.%d", number, made)), filepath.Join(msgs, number+blockSuffix)
		want, err := os.Stat(link)
		if err != nil {
			return n, err
		}
		have, err := os.Stat(path)
		if err == nil && os.SameFile(want, have) {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		// The second name stays until all is restored: a crash meanwhile repeats this.
		again := path + ".held"
		if err := os.Remove(again); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		if err := errors.Join(os.Link(link, again), os.Rename(again, path)); err != nil {
			return n, err
		}
		n++
	}
	// The server's index of the stream may be of another time than its files: it is
	// made anew from these.
	if err := os.Remove(filepath.Join(msgs, "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	return n, syncAll([]dirtyFile{{path: msgs}}, (*os.File).Sync)
}

// errProof means that the server does not keep its files as a [disk] needs it.
var errProof = errors.New("the server's files are not as group commit needs them")

// prove checks on the embedded server that a message is in the file of its stream when
// it is acknowledged, and that the file can be held: it was, or the message would not
// be acknowledged. The error matches errProof where that is not so.
func (b *Broker) prove(ctx context.Context) error {
	text := rand.Text()
	proof := &nats.Msg{Subject: b.names.proofSubject(), Data: []byte(text), Header: nats.Header{hdrTTL: {"1s"}}}
	a, err := b.pub.publish(ctx, proof)
	if err != nil {
		return fmt.Errorf("publish a proof of durability: %w", err)
	}
	path, err := b.embedded.disk.newest(b.archive.stream)
	if err != nil {
		return err
	}
	if data, err := os.ReadFile(path); err != nil || !bytes.Contains(data, []byte(text)) {
		return fmt.Errorf("%w: a message that was acknowledged is not in the file of its stream", errProof)
	}
	return b.archive.deleteMessage(ctx, a.seq)
}
