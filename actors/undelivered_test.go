package actors

import (
	"bytes"
	"errors"
	"testing"

	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A message that nobody takes is a dead letter also when it is larger than the
// server takes: its payload is an object, which the dead letter names.
func TestALargeMessageThatNobodyTakesIsADeadLetter(t *testing.T) {
	t.Parallel()
	b := brokertest.Open(t, brokertest.Kinds("wf"))
	data := bytes.Repeat([]byte("x"), 2<<20)
	to := schemas.Identity{Kind: "nobody", Key: "k"}
	env := &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1", Payload: &schemas.Payload{Data: data}}
	if err := (runOutbox{outbox{b, schemas.LocalDomain}}).Send(t.Context(), to, env); !errors.Is(err, runtime.ErrNotFound) {
		t.Fatalf("send to a kind that nobody hosts: %v, want ErrNotFound", err)
	}
	dead, err := b.Inbox().DeadLetters(t.Context(), to.Kind, to.Key, 0, 0)
	if err != nil || len(dead) != 1 || dead[0].Code != runtime.ErrNotFound.Code {
		t.Fatalf("dead letters %+v, %v; want one, because nobody hosts the kind", dead, err)
	}
	objects, err := deadObjects(t.Context(), b, to)
	if err != nil {
		t.Fatal(err)
	}
	names, err := b.Blobs().Of(t.Context(), to)
	if err != nil || len(names) != 1 || !objects[names[0]] {
		t.Errorf("the objects %v (%v), of which the dead letter names %v; want one", names, err, objects)
	}
}
