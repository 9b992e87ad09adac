package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server/archive"
	"github.com/nats-io/nats.go"
)

// A stream is restored by the server, from what it takes as a snapshot of its own: so
// each message has the sequence and the time that it had, which others name.

const (
	// restoreChunk is how many bytes of a snapshot are sent at once.
	restoreChunk = 256 << 10
	// restoreWait is how long the server may take for a chunk, and for what is left to
	// be done behind the last one.
	restoreWait = time.Minute
)

// stream restores the stream that is next in a backup.
func (t *target) stream(ctx context.Context, in *backupReader, s backupStream) error {
	config, err := t.configFor(s)
	if err != nil {
		return err
	}
	first := s.First
	if s.Last > 0 {
		first = max(first, 1)
	}
	state := map[string]any{
		"messages": 0, "bytes": 0, "first_seq": first, "last_seq": s.Last,
		"first_ts": time.Unix(0, 0).UTC(), "last_ts": time.Unix(0, 0).UTC(), "consumer_count": 0,
	}
	var answer struct {
		Deliver string `json:"deliver_subject"`
	}
	err = t.b.pub.request(ctx, "$JS.API.STREAM.RESTORE."+s.Name, map[string]any{"config": config, "state": state}, &answer)
	if err != nil {
		return err
	}
	chunks := &chunkWriter{ctx: ctx, b: t.b, subject: answer.Deliver}
	if err := snapshot(chunks, in, s, state); err != nil {
		return err
	}
	return chunks.end()
}

// snapshot writes a stream in the form in which the server takes it.
func snapshot(w *chunkWriter, in *backupReader, s backupStream, state map[string]any) error {
	enc := s2.NewWriter(w, s2.WriterConcurrency(1))
	out := archive.NewWriter(enc)
	put := func(h archive.Header, parts ...[]byte) error {
		if err := out.WriteHeader(&h); err != nil {
			return err
		}
		for _, p := range parts {
			if _, err := out.Write(p); err != nil {
				return err
			}
		}
		return nil
	}
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if err := put(archive.Header{Name: "state.json", Timestamp: time.Now().UnixNano(), PayloadSize: int64(len(data))}, data); err != nil {
		return err
	}
	err = in.messages(s, func(m rawMessage) error {
		h := archive.Header{
			Name: m.subject, Timestamp: m.time, Sequence: m.seq,
			HeaderSize: int64(len(m.header)), PayloadSize: int64(len(m.data)),
		}
		return put(h, m.header, m.data)
	})
	if err != nil {
		return err // without its end it is not taken
	}
	return errors.Join(put(archive.Header{}), out.Close(), enc.Close())
}

// A chunkWriter sends a snapshot to the server.
type chunkWriter struct {
	ctx     context.Context
	b       *Broker
	subject string
	chunk   []byte
}

func (c *chunkWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		k := min(len(p), restoreChunk-len(c.chunk))
		c.chunk, p, n = append(c.chunk, p[:k]...), p[k:], n+k
		if len(c.chunk) == restoreChunk {
			if err := c.send(c.chunk); err != nil {
				return n, err
			}
			c.chunk = c.chunk[:0]
		}
	}
	return n, nil
}

// end sends what is left, and waits until the stream is there.
func (c *chunkWriter) end() error {
	if len(c.chunk) > 0 {
		if err := c.send(c.chunk); err != nil {
			return err
		}
	}
	return c.send(nil)
}

// send sends a chunk; none is the end.
func (c *chunkWriter) send(chunk []byte) error {
	w := c.b.mux.register()
	defer c.b.mux.forget(w)
	answer, err := c.b.pub.try(c.ctx, w, &nats.Msg{Subject: c.subject, Reply: w.reply, Data: chunk}, restoreWait)
	if err != nil {
		return fmt.Errorf("send it to the server: %w", err)
	}
	var head struct {
		Error *refusal `json:"error"`
	}
	if len(answer.Data) > 0 {
		if err := json.Unmarshal(answer.Data, &head); err != nil {
			return fmt.Errorf("%w: answer to a part of a restore: %w", ErrIncompatible, err)
		}
	}
	if head.Error != nil {
		return head.Error
	}
	return nil
}
