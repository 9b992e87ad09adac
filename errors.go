package perdure

import (
	"context"
	"errors"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// A coded error matches an error with a code, too, and keeps its text.
type coded struct {
	error
	code error
}

func (e coded) Unwrap() []error { return []error{e.code, e.error} }

// admitted makes what a task was not admitted for match the durable sentinels.
func admitted(err error) error {
	if errors.Is(err, broker.ErrFull) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return coded{err, durable.ErrUnavailable}
	}
	return err
}

// opened makes what opening a broker failed with match the durable sentinels.
func opened(err error) error {
	switch {
	case errors.Is(err, schemas.ErrInvalidName):
		return coded{err, durable.ErrInvalid}
	case errors.Is(err, broker.ErrUnreachable), errors.Is(err, broker.ErrNoNamespace):
		return coded{err, durable.ErrUnavailable}
	}
	return err
}
