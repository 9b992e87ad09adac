package broker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// Blobs holds payloads that are too large for a message. An object is the
// messages of its chunks, on subjects that name its identity and its run: so
// those of an identity, or of a partition, are listed without looking at others
// (P18). The same name has the same bytes: it ends with their hash.
type Blobs struct {
	b *Broker
}

// Blobs returns the large payloads of the namespace.
func (b *Broker) Blobs() *Blobs { return &Blobs{b} }

// Put stores data for a run and returns the reference to it. part says what it
// is, in characters that need no escape in a subject. It may be called again.
// The error matches [ErrTooLarge] for more bytes than [Config.PayloadCap].
func (s *Blobs) Put(ctx context.Context, run schemas.Ref, part string, data []byte) (*schemas.Blob, error) {
	sum := sha256.Sum256(data)
	name := run.String() + "/" + part + "-" + hex.EncodeToString(sum[:8])
	if limit := s.b.cfg.PayloadCap; int64(len(data)) > limit {
		return nil, fmt.Errorf("store object %s: %w: it has %d bytes and the cap is %d: pass a reference to it, or raise the cap", name, ErrTooLarge, len(data), limit)
	}
	subject, err := s.b.names.blobSubject(name)
	if err != nil {
		return nil, fmt.Errorf("store object %s: %w", name, err)
	}
	size := int(s.b.MaxMessage())
	for i := 0; i == 0 || i*size < len(data); i++ {
		chunk := data[i*size : min((i+1)*size, len(data))]
		// Sent again it replaces itself: one message a subject is kept.
		if _, err := s.b.publishRetrying(ctx, &nats.Msg{Subject: subject + "." + strconv.Itoa(i), Data: chunk}, nil); err != nil {
			return nil, fmt.Errorf("store object %s of %d bytes: %w", name, len(data), err)
		}
	}
	return &schemas.Blob{Name: name, Size: uint64(len(data)), Sha256: sum[:]}, nil
}

// Get returns the bytes that ref refers to. The error matches [ErrBlob] when
// they are missing or are others.
func (s *Blobs) Get(ctx context.Context, ref *schemas.Blob) ([]byte, error) {
	subject, err := s.b.names.blobSubject(ref.Name)
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w: %w", ref.Name, ErrBlob, err)
	}
	chunks, size := map[int][]byte{}, 0
	for m, err := range s.b.blobs.scan(ctx, subject+".*", 0) {
		if err != nil {
			return nil, fmt.Errorf("read object %s: %w", ref.Name, err)
		}
		i, err := strconv.Atoi(m.subject[len(subject)+1:])
		if err != nil {
			return nil, fmt.Errorf("read object %s: %w: it has a chunk on %s", ref.Name, ErrBlob, m.subject)
		}
		chunks[i] = m.data
		size += len(m.data)
	}
	if len(chunks) == 0 {
		return nil, fmt.Errorf("read object %s: %w: there is none of this name", ref.Name, ErrBlob)
	}
	data := make([]byte, 0, size)
	for i := range len(chunks) {
		data = append(data, chunks[i]...)
	}
	if uint64(len(data)) != ref.Size {
		return nil, fmt.Errorf("read object %s: %w: it has %d bytes and its reference says %d", ref.Name, ErrBlob, len(data), ref.Size)
	}
	if sum := sha256.Sum256(data); subtle.ConstantTimeCompare(sum[:], ref.Sha256) != 1 {
		return nil, fmt.Errorf("read object %s: %w: its SHA-256 is not its reference's", ref.Name, ErrBlob)
	}
	return data, nil
}

// Delete removes an object; one that is not there is not an error.
func (s *Blobs) Delete(ctx context.Context, name string) error {
	subject, err := s.b.names.blobSubject(name)
	if err == nil {
		err = s.b.pub.request(ctx, "$JS.API.STREAM.PURGE."+s.b.blobs.stream, map[string]any{"filter": subject + ".*"}, nil)
	}
	if err != nil {
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	return nil
}

// Of returns the names of an identity's objects, sorted.
func (s *Blobs) Of(ctx context.Context, id schemas.Identity) ([]string, error) {
	return s.list(ctx, s.b.names.blobPrefix(id)+">")
}

// In returns the names of the objects of a partition's identities, sorted.
func (s *Blobs) In(ctx context.Context, p schemas.Partition) ([]string, error) {
	return s.list(ctx, s.b.names.blobFilter(p))
}

func (s *Blobs) list(ctx context.Context, filter string) ([]string, error) {
	info, err := s.b.blobs.info(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	names := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		if name, err := s.b.names.parseBlob(subject); err == nil { // none of ours otherwise
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Stored returns when the broker stored the last part of an object, by its
// clock; ok is false if there is none of this name.
func (s *Blobs) Stored(ctx context.Context, name string) (at time.Time, ok bool, err error) {
	subject, err := s.b.names.blobSubject(name)
	if err != nil {
		return at, false, fmt.Errorf("look at object %s: %w", name, err)
	}
	m, ok, err := s.b.blobs.get(ctx, query{LastBy: subject + ".*"})
	if err != nil {
		return at, false, fmt.Errorf("look at object %s: %w", name, err)
	}
	return m.time, ok, nil
}

// BlobRun returns the run that an object is of.
func BlobRun(name string) (schemas.Ref, error) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return schemas.Ref{}, fmt.Errorf("%w: %q is not an object's name", schemas.ErrInvalidName, name)
	}
	return schemas.ParseRef(name[:i])
}

// blobPrefix is below what all objects of an identity are, with its last dot.
func (n Names) blobPrefix(id schemas.Identity) string {
	return n.ns + ".blob." + n.Partition(id).String() + "." + string(id.Kind) + "." + schemas.EncodeToken(id.Key) + "."
}

// blobSubject is below what the chunks of an object are. Names come from
// messages of other programs, too: one of another form is refused.
func (n Names) blobSubject(name string) (string, error) {
	ref, err := BlobRun(name)
	if err != nil {
		return "", err
	}
	part := name[strings.LastIndexByte(name, '/')+1:]
	if decoded, err := schemas.DecodeToken(part); err != nil || part == "" || schemas.EncodeToken(decoded) != part {
		return "", fmt.Errorf("%w: the last part of %q is not one token of a subject", schemas.ErrInvalidName, name)
	}
	return n.blobPrefix(ref.Identity) + schemas.EncodeToken(string(ref.ID)) + "." + part, nil
}

// parseBlob reads the object's name off the subject of a chunk.
func (n Names) parseBlob(subject string) (string, error) {
	t, err := n.split(subject, ".blob.", 6)
	if err != nil {
		return "", err
	}
	return strings.Join(t[1:5], "/"), nil
}

// blobFilter matches the objects of a partition.
func (n Names) blobFilter(p schemas.Partition) string { return n.ns + ".blob." + p.String() + ".>" }

// blobsFilter matches every object.
func (n Names) blobsFilter() string { return n.ns + ".blob.>" }
