package broker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/perdure/perdure/schemas"
)

// A backup is a line that names the format, and behind it, compressed, frames: one of
// what the backup is of, then for each stream one of what it is, one for each message
// and one that ends it, and one that ends the backup. Each frame is a byte that says
// what it is, the length of what is in it, that itself, and a check sum of everything
// up to there: so none can be left out, or come twice, unseen.

// backupMagic begins every backup; the number is the format's version.
const (
	backupMagic  = "perdure backup "
	backupFormat = 1
)

// The kinds of frames.
const (
	frameManifest  = 'm'
	frameStream    = 's'
	frameMessage   = 'd'
	frameStreamEnd = 'e'
	frameEnd       = 'z'
)

// backupBlock is how many bytes are compressed at once.
const backupBlock = 256 << 10

// maxFrame is more than the largest message that NATS can be made to take.
const maxFrame = 128 << 20

// ErrBackup is matched by the error of a file that is no whole backup of a format that
// this program knows.
var ErrBackup = errors.New("not a backup that can be restored")

// A Manifest says what a backup is of.
type Manifest struct {
	Namespace  string    `json:"namespace"`
	Layout     uint32    `json:"layout"` // of streams and subjects
	Partitions uint32    `json:"partitions"`
	Created    int64     `json:"created"` // when the namespace was, in Unix nanoseconds
	Taken      time.Time `json:"taken"`
	// Keys are those of the cluster's that are not of one process.
	Keys []ManifestKey `json:"keys"`
}

// A ManifestKey is a key of the cluster's bucket.
type ManifestKey struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// A backupStream says of what stream the messages are that follow.
type backupStream struct {
	Name    string                     `json:"name"`
	Config  map[string]json.RawMessage `json:"config"`
	Created time.Time                  `json:"created"`
	First   uint64                     `json:"first"` // sequences, 0 for a stream that never had a message
	Last    uint64                     `json:"last"`
}

// backupTotals ends a stream, or a backup.
type backupTotals struct {
	Streams  int    `json:"streams,omitempty"`
	Messages uint64 `json:"messages"`
}

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// A backupWriter writes frames, and keeps the first error.
type backupWriter struct {
	w       *s2.Writer
	sum     uint32
	head    []byte
	body    []byte
	totals  backupTotals
	streams backupTotals // of the stream that is being written
	closed  bool
}

func newBackupWriter(w io.Writer) (*backupWriter, error) {
	if _, err := fmt.Fprintf(w, "%s%d\n", backupMagic, backupFormat); err != nil {
		return nil, err
	}
	return &backupWriter{w: s2.NewWriter(w, s2.WriterBlockSize(backupBlock))}, nil
}

func (b *backupWriter) frame(kind byte, body []byte) error {
	b.head = binary.AppendUvarint(append(b.head[:0], kind), uint64(len(body)))
	b.sum = crc32.Update(crc32.Update(b.sum, crcTable, b.head), crcTable, body)
	if _, err := b.w.Write(b.head); err != nil {
		return err
	}
	if _, err := b.w.Write(body); err != nil {
		return err
	}
	_, err := b.w.Write(binary.LittleEndian.AppendUint32(b.head[:0], b.sum))
	return err
}

func (b *backupWriter) json(kind byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.frame(kind, body)
}

func (b *backupWriter) begin(s backupStream) error {
	b.streams = backupTotals{}
	b.totals.Streams++
	return b.json(frameStream, s)
}

func (b *backupWriter) message(m rawMessage) error {
	b.streams.Messages++
	b.totals.Messages++
	b.body = m.append(b.body[:0])
	return b.frame(frameMessage, b.body)
}

func (b *backupWriter) end() error { return b.json(frameStreamEnd, b.streams) }

// close ends the backup; without it, it is not whole.
func (b *backupWriter) close() error {
	if err := b.json(frameEnd, b.totals); err != nil {
		return err
	}
	b.closed = true
	return b.w.Close()
}

// abandon ends a backup that was not closed; what was written is none.
func (b *backupWriter) abandon() {
	if !b.closed {
		_ = b.w.Close() // which ends its goroutine
	}
}

// A rawMessage is a message of a stream, its headers as they are on the wire.
type rawMessage struct {
	seq     uint64
	time    int64 // Unix nanoseconds
	subject string
	header  []byte
	data    []byte
}

func (m *rawMessage) append(b []byte) []byte {
	b = binary.AppendUvarint(b, m.seq)
	b = binary.AppendVarint(b, m.time)
	b = binary.AppendUvarint(b, uint64(len(m.subject)))
	b = append(b, m.subject...)
	b = binary.AppendUvarint(b, uint64(len(m.header)))
	b = append(b, m.header...)
	return append(b, m.data...)
}

// parse is the inverse of append; m is valid as long as b.
func (m *rawMessage) parse(b []byte) bool {
	uvarint := func() (v uint64, ok bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	cut := func() (part []byte, ok bool) {
		n, ok := uvarint()
		if !ok || n > uint64(len(b)) {
			return nil, false
		}
		part, b = b[:n:n], b[n:]
		return part, true
	}
	var ok bool
	if m.seq, ok = uvarint(); !ok || m.seq == 0 {
		return false
	}
	at, n := binary.Varint(b)
	if n <= 0 {
		return false
	}
	m.time, b = at, b[n:]
	subject, ok := cut()
	if !ok || len(subject) == 0 {
		return false
	}
	m.subject = string(subject)
	if m.header, ok = cut(); !ok {
		return false
	}
	m.data = b
	return true
}

// A backupReader reads what a backupWriter wrote, and refuses everything else.
type backupReader struct {
	r        *bufio.Reader
	sum      uint32
	body     bytes.Buffer
	manifest Manifest
	names    Names
	totals   backupTotals
	seen     map[string]bool
}

// bad says why a backup cannot be restored.
func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBackup, fmt.Errorf(format, args...))
}

// readBackup reads the first part of a backup.
func readBackup(r io.Reader) (*backupReader, error) {
	in := bufio.NewReader(r)
	line, err := in.ReadSlice('\n')
	if !bytes.HasPrefix(line, []byte(backupMagic)) {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("read the backup: %w", err)
		}
		return nil, bad("it does not begin with %q; name a file that 'perdure backup' wrote", strings.TrimSpace(backupMagic))
	}
	if version := strings.TrimSpace(strings.TrimPrefix(string(line), backupMagic)); version != fmt.Sprint(backupFormat) {
		return nil, bad("its format is %.20q, and this program knows %d; restore it with the program that made it", version, backupFormat)
	}
	b := &backupReader{r: bufio.NewReader(s2.NewReader(in, s2.ReaderMaxBlockSize(backupBlock))), seen: map[string]bool{}}
	kind, body, err := b.frame()
	if err != nil {
		return nil, err
	}
	if kind != frameManifest || json.Unmarshal(body, &b.manifest) != nil {
		return nil, bad("it does not say what it is of")
	}
	m := &b.manifest
	if m.Layout != Layout && m.Layout != layoutUnmoved {
		return nil, bad("the layout of its namespace is version %d, and this program knows %d and %d; restore it with the program that made it", m.Layout, layoutUnmoved, Layout)
	}
	if b.names, err = NewNames(m.Namespace, m.Partitions); err != nil {
		return nil, bad("what it is of: %w", err)
	}
	return b, nil
}

// frame returns the next frame, whose body is valid until the next one.
func (b *backupReader) frame() (kind byte, body []byte, err error) {
	kind, err = b.r.ReadByte()
	if err != nil {
		return 0, nil, b.short(err)
	}
	n := uint64(0)
	for shift, more := 0, true; more; shift += 7 {
		c, err := b.r.ReadByte()
		if err != nil {
			return 0, nil, b.short(err)
		}
		n, more = n|uint64(c&0x7f)<<shift, c >= 0x80
		if n > maxFrame || shift > 28 {
			return 0, nil, bad("it is damaged: a part of more than %d bytes", maxFrame)
		}
	}
	b.body.Reset()
	if _, err := io.CopyN(&b.body, b.r, int64(n)); err != nil { // grows with what is there
		return 0, nil, b.short(err)
	}
	var head [binary.MaxVarintLen64 + 1]byte
	head[0] = kind
	b.sum = crc32.Update(b.sum, crcTable, binary.AppendUvarint(head[:1], n))
	b.sum = crc32.Update(b.sum, crcTable, b.body.Bytes())
	var sum [4]byte
	if _, err := io.ReadFull(b.r, sum[:]); err != nil {
		return 0, nil, b.short(err)
	}
	if binary.LittleEndian.Uint32(sum[:]) != b.sum {
		return 0, nil, bad("it is damaged: a check sum is wrong")
	}
	return kind, b.body.Bytes(), nil
}

// short says what it means that there is nothing more to read.
func (b *backupReader) short(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return bad("it ends too early, after %d messages; it was not written to its end", b.totals.Messages)
	case errors.Is(err, s2.ErrCorrupt), errors.Is(err, s2.ErrCRC), errors.Is(err, s2.ErrUnsupported), errors.Is(err, s2.ErrTooLarge):
		return bad("it is damaged, or ends too early: %w", err)
	}
	return fmt.Errorf("read the backup: %w", err)
}

// stream returns the next stream; ok is false at the end of the backup.
func (b *backupReader) stream() (s backupStream, ok bool, err error) {
	kind, body, err := b.frame()
	if err != nil {
		return s, false, err
	}
	switch kind {
	case frameEnd:
		var totals backupTotals
		if json.Unmarshal(body, &totals) != nil || totals != b.totals {
			return s, false, bad("it is damaged: it has %d streams and %d messages, and says otherwise", b.totals.Streams, b.totals.Messages)
		}
		if _, err := b.r.ReadByte(); err == nil {
			return s, false, bad("it is damaged: there is more behind its end")
		} else if !errors.Is(err, io.EOF) {
			return s, false, b.short(err)
		}
		for _, name := range b.names.shared() {
			if !b.seen[name] {
				return s, false, bad("it has no stream %s", name)
			}
		}
		return s, false, nil
	case frameStream:
		if json.Unmarshal(body, &s) != nil || s.Config == nil || s.First > s.Last+1 {
			return s, false, bad("it is damaged: it does not say what a stream is")
		}
		if b.seen[s.Name] || !b.names.holds(s.Name) {
			return s, false, bad("it has a stream %q that is none of namespace %s, or is there twice", s.Name, b.names.ns)
		}
		b.seen[s.Name] = true
		b.totals.Streams++
		return s, true, nil
	}
	return s, false, bad("it is damaged: a part of kind %q where a stream begins", kind)
}

// messages calls each with every message of the stream that has begun, in order; what
// it is given is valid until it returns.
func (b *backupReader) messages(s backupStream, each func(rawMessage) error) error {
	var n, last uint64
	for {
		kind, body, err := b.frame()
		if err != nil {
			return err
		}
		switch kind {
		case frameMessage:
			var m rawMessage
			if !m.parse(body) || m.seq <= last || m.seq < s.First {
				return bad("it is damaged: message %d of stream %s", n+1, s.Name)
			}
			n, last = n+1, m.seq
			b.totals.Messages++
			if err := each(m); err != nil {
				return err
			}
		case frameStreamEnd:
			var totals backupTotals
			if json.Unmarshal(body, &totals) != nil || totals.Messages != n {
				return bad("it is damaged: stream %s has %d messages, and says otherwise", s.Name, n)
			}
			return nil
		default:
			return bad("it is damaged: a part of kind %q among messages", kind)
		}
	}
}

// CheckBackup reads a backup to its end, and returns what it is of if it is whole. The
// error matches [ErrBackup] if it is not.
func CheckBackup(r io.Reader) (Manifest, error) {
	b, err := readBackup(r)
	for ok := true; err == nil && ok; {
		var s backupStream
		if s, ok, err = b.stream(); err == nil && ok {
			err = b.messages(s, func(rawMessage) error { return nil })
		}
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("check the backup: %w", err)
	}
	return b.manifest, nil
}

// shared are the streams of the namespace that all pools have, but for that of the
// cluster's keys.
func (n Names) shared() []string {
	return []string{n.RunsStream(), n.ArchiveStream(), n.DeadStream(), n.BlobsStream(), "KV_" + n.StateBucket()}
}

// holds reports whether a stream is of the namespace, and in a backup.
func (n Names) holds(stream string) bool {
	if slices.Contains(n.shared(), stream) {
		return true
	}
	pool, ok := strings.CutPrefix(stream, n.ns+inboxInfix)
	if !ok {
		pool, ok = strings.CutPrefix(stream, n.ns+timersInfix)
	}
	return ok && schemas.Kind(pool).Validate() == nil
}
