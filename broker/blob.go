package broker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/schemas"
)

// Blobs holds payloads that are too large for a message, in an object store.
// An object is written once, under a name that only its run uses (P18).
type Blobs struct {
	b *Broker
}

// Blobs returns the large payloads of the namespace.
func (b *Broker) Blobs() *Blobs { return &Blobs{b} }

// Put stores data under name and returns the reference to it. It replaces
// what was there. The error matches [ErrTooLarge] for more bytes than
// [Config.PayloadCap].
func (s *Blobs) Put(ctx context.Context, name string, data []byte) (*schemas.Blob, error) {
	if limit := s.b.cfg.PayloadCap; int64(len(data)) > limit {
		return nil, fmt.Errorf("store object %s: %w: it has %d bytes and the cap is %d: pass a reference to it, or raise the cap", name, ErrTooLarge, len(data), limit)
	}
	if name == "" {
		return nil, errors.New("store object: its name is empty")
	}
	if err := s.retry(ctx, func(ctx context.Context) error {
		_, err := s.b.blobs.PutBytes(ctx, name, data)
		return err
	}); err != nil {
		return nil, fmt.Errorf("store object %s of %d bytes: %w", name, len(data), err)
	}
	sum := sha256.Sum256(data)
	return &schemas.Blob{Name: name, Size: uint64(len(data)), Sha256: sum[:]}, nil
}

// Get returns the bytes that ref refers to. The error matches [ErrBlob] when
// they are missing or are others.
func (s *Blobs) Get(ctx context.Context, ref *schemas.Blob) ([]byte, error) {
	var data []byte
	err := s.retry(ctx, func(ctx context.Context) (err error) {
		data, err = s.b.blobs.GetBytes(ctx, ref.Name)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return nil, fmt.Errorf("read object %s: %w: there is none of this name", ref.Name, ErrBlob)
	case errors.Is(err, jetstream.ErrDigestMismatch):
		return nil, fmt.Errorf("read object %s: %w: %w", ref.Name, ErrBlob, err)
	case err != nil:
		return nil, fmt.Errorf("read object %s: %w", ref.Name, err)
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
	err := s.retry(ctx, func(ctx context.Context) error { return s.b.blobs.Delete(ctx, name) })
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	return nil
}

// List returns the names of the objects that begin with prefix, sorted.
func (s *Blobs) List(ctx context.Context, prefix string) ([]string, error) {
	var infos []*jetstream.ObjectInfo
	err := s.retry(ctx, func(ctx context.Context) (err error) {
		infos, err = s.b.blobs.List(ctx)
		return err
	})
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	var names []string
	for _, i := range infos {
		if strings.HasPrefix(i.Name, prefix) {
			names = append(names, i.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// blobWait is how long one try of an object's operation takes at most.
const blobWait = 30 * time.Second

// retry repeats an operation that a lost connection or an absent server
// interrupted. Where a follower may answer, an object that is not found is
// looked for a second time.
func (s *Blobs) retry(ctx context.Context, op func(context.Context) error) error {
	stale := 0
	if !s.b.runs.direct {
		stale = 20
	}
	pause := retryWait
	for {
		short, cancel := context.WithTimeout(ctx, blobWait)
		err := op(short)
		cancel()
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.Is(err, jetstream.ErrObjectNotFound) && stale > 0:
			stale--
		case !transient(err):
			return err
		}
		if err := s.b.link.connected(ctx); err != nil {
			return err
		}
		if perr := s.b.link.pause(ctx, jitter(pause)); perr != nil {
			return fmt.Errorf("%w (last: %w)", perr, err)
		}
		pause = min(2*pause, retryWaitMax)
	}
}
