package runtimetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// States is a [runtime.States] in memory.
type States struct {
	mu     sync.Mutex
	rev    uint64
	values map[schemas.Identity]value
}

type value struct {
	rev  uint64
	data []byte
}

var _ runtime.States = (*States)(nil)

// NewStates returns states of which none is stored.
func NewStates() *States { return &States{values: map[schemas.Identity]value{}} }

// Get returns the state of an identity and its revision.
func (s *States) Get(ctx context.Context, id schemas.Identity) (*schemas.State, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(id)
}

func (s *States) get(id schemas.Identity) (*schemas.State, uint64, error) {
	v, ok := s.values[id]
	if !ok {
		return nil, 0, nil
	}
	st := &schemas.State{}
	if err := proto.Unmarshal(v.data, st); err != nil {
		return nil, 0, fmt.Errorf("decode the state of %s: %w", id, err)
	}
	return st, v.rev, nil
}

// Put stores v if the revision is after.
func (s *States) Put(ctx context.Context, id schemas.Identity, after uint64, v *schemas.State) (schemas.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return schemas.Outcome{}, err
	}
	data, err := proto.Marshal(v)
	if err != nil {
		return schemas.Outcome{}, fmt.Errorf("encode the state of %s: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have, rev, err := s.get(id)
	switch {
	case err != nil:
		return schemas.Outcome{}, err
	case rev == after:
		s.rev++
		s.values[id] = value{s.rev, data}
		return schemas.Outcome{Seq: s.rev}, nil
	case have.GetRun() == v.GetRun() && have.GetSequence() == v.GetSequence(), have.GetSequence() > v.GetSequence():
		return schemas.Outcome{Seq: rev}, nil
	}
	return schemas.Outcome{Fenced: true}, nil
}
