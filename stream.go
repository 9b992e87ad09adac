package perdure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// A StreamEvent is something that a run does, or a part of what a step of it says:
// see [Client.Stream].
type StreamEvent struct {
	actors.LiveEvent
	// Message is what a call of an agent's model came to, with the tools that the model
	// wants called; of the end of such a step.
	Message *agents.Message `json:"-"`
}

// The types of a [StreamEvent].
const (
	// StreamBegin: a step begins, or what it says begins anew.
	StreamBegin = actors.LiveBegin
	// StreamText: a part of what a step says, as of the message that a model writes, in
	// Text. Offset is how many bytes came before it.
	StreamText = actors.LiveText
	// StreamReasoning: the same of what the model thinks, where its provider says it.
	StreamReasoning = actors.LiveReasoning
	// StreamVoid: what the step has said so far does not count; Reason says why. If it
	// is attempted again another [StreamBegin] follows, with the number of its owner and
	// attempt.
	StreamVoid = actors.LiveVoid
	// StreamEnd: the step is recorded, with Result or Error.
	StreamEnd = actors.LiveEnd
	// StreamDone: the run has ended, as Done says; the stream ends with it.
	StreamDone = actors.LiveDone
)

// Stream is [Client.Stream] of the run.
func (r *Run[Out]) Stream(ctx context.Context, from string) iter.Seq2[StreamEvent, error] {
	return r.c.Stream(ctx, r.Ref(), from)
}

// Stream tells what a run does, and what its steps say while they do it: the message that
// an agent's model writes, as it writes it, what tools say (durable.Say), the end of each
// step, and of the run. It begins with what the run has done so far, goes on as it
// happens, whichever node executes the run, and ends with [StreamDone], or with an error.
//
// From is the Position of the last event that was handled: the stream goes on behind it,
// on whichever node, and with nothing missing or told twice. Empty is the beginning. A
// connection that is lost, and a node that dies, are waited for as long as ctx allows. A
// message whose model call is made again, because its node died or the provider failed, is
// said to be void, and begins anew; what counts is what was not void at the step's end, and
// that is the text that was recorded. What was thought, and what tools say, is not recorded:
// who comes later than about a minute does not get it, and neither, once a run has
// completed, the messages on the way to its result, unless its kind keeps the history:
// [StreamEnd] says that it is Missing.
//
// The error matches [durable.ErrNotFound] for a run that does not exist,
// [durable.ErrInvalid] for a wrong position, and [durable.ErrConflict] for one of another
// run, or ctx's.
//
//	for ev, err := range run.Stream(ctx, "") {
//		if err != nil {
//			return err
//		}
//		if ev.Type == perdure.StreamText {
//			fmt.Print(ev.Text)
//		}
//	}
//
// A watcher may take its time: it holds up neither the run nor another one.
func (c *Client) Stream(ctx context.Context, ref, from string) iter.Seq2[StreamEvent, error] {
	return func(yield func(StreamEvent, error) bool) {
		s := &streamer{c: c, yield: yield}
		if err := s.run(ctx, ref, from); err != nil && !s.stopped {
			yield(StreamEvent{}, err)
		}
	}
}

// A streamer is one loop over a stream.
type streamer struct {
	c       *Client
	ref     schemas.Ref
	yield   func(StreamEvent, error) bool
	stopped bool // the loop was left
	m       *merger
}

// How often a run is asked for what was not told: a live event is core NATS and may be
// missed (P23). After a gap it is asked at once, but not again and again.
const (
	streamLook  = 500 * time.Millisecond
	streamAgain = 3 * time.Second
	streamPause = 20 * time.Millisecond
	streamRetry = time.Second
)

func (s *streamer) run(ctx context.Context, ref, from string) (err error) {
	if s.ref, err = schemas.ParseRef(ref); err != nil {
		return durable.Fail(durable.ErrInvalid.Code, "stream: %v", err)
	}
	at, err := parsePosition(from)
	if err != nil {
		return err
	}
	if at.ended {
		return nil
	}
	s.m = newMerger(at, s.emit)
	w, err := s.c.b.Live().Watch(ctx, s.ref) // before the run is read
	if err != nil {
		return fmt.Errorf("stream %s: %w", s.ref, err)
	}
	defer w.Stop()
	for look := streamLook; ; look = min(2*look, streamAgain) {
		unanswered, err := s.catchUp(ctx)
		if err != nil || s.over() {
			return err
		}
		told, err := s.follow(ctx, w, look, unanswered)
		if err != nil || s.over() {
			return err
		}
		if told {
			look = streamLook / 2
		}
	}
}

func (s *streamer) over() bool { return s.stopped || s.m.at.ended }

// emit hands an event to the loop, which may leave.
func (s *streamer) emit(e actors.LiveEvent) {
	if s.stopped {
		return
	}
	ev := StreamEvent{LiveEvent: e}
	if e.Type == actors.LiveEnd {
		ev.Message, _ = agents.MessageOf(e.Name, e.Result)
	}
	s.stopped = !s.yield(ev, nil)
}

// catchUp reads what there is behind the position. Unanswered says that
// no node answers: it is to be asked again.
func (s *streamer) catchUp(ctx context.Context) (unanswered bool, err error) {
	for !s.over() {
		var answer streamAnswer
		err := s.c.read(ctx, "runs.stream", streamRequest{Run: s.ref.String(), From: s.m.at.String()}, &answer)
		switch {
		case ctx.Err() != nil:
			return false, fmt.Errorf("stream %s: %w", s.ref, ctx.Err())
		case errors.Is(err, durable.ErrUnavailable):
			return true, nil
		case err != nil:
			return false, err
		}
		for _, e := range answer.Events {
			if err := s.m.merged(e); err != nil {
				return false, fmt.Errorf("stream %s: the node's answer: %w", s.ref, err)
			}
			if s.over() {
				return false, nil
			}
		}
		if s.m.at, err = parsePosition(answer.Position); err != nil {
			return false, fmt.Errorf("stream %s: the node's answer: %w", s.ref, err)
		}
		if !answer.More {
			return false, nil
		}
	}
	return false, nil
}

// follow takes live events until something is missing, or nothing was told for a while.
// It reports whether something was told. Unanswered says that no node has answered.
func (s *streamer) follow(ctx context.Context, w *broker.LiveWatch, quiet time.Duration, unanswered bool) (told bool, err error) {
	if unanswered {
		quiet = streamRetry
	}
	began := time.Now()
	for !s.over() {
		short, cancel := context.WithTimeout(ctx, quiet)
		body, err := w.Next(short)
		cancel()
		switch {
		case ctx.Err() != nil:
			return told, fmt.Errorf("stream %s: %w", s.ref, ctx.Err())
		case errors.Is(err, broker.ErrClosed):
			return told, fmt.Errorf("stream %s: %w", s.ref, err)
		case err != nil: // nothing was told
			return told, nil
		}
		var e actors.LiveEvent
		if !w.Lost() && json.Unmarshal(body, &e) == nil && s.m.live(e) { // what was dropped may come before it
			told = true
			continue
		}
		if s.over() {
			return told, nil
		}
		wait := streamPause - time.Since(began)
		if unanswered {
			wait = streamRetry - time.Since(began)
		}
		if wait > 0 {
			pause(ctx, wait)
		}
		return true, nil
	}
	return told, nil
}
