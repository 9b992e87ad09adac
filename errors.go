package perdure

import (
	"errors"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
)

// unavailable is an error that matches [durable.ErrUnavailable] and keeps its
// text.
type unavailable struct{ error }

func (e unavailable) Unwrap() []error { return []error{durable.ErrUnavailable, e.error} }

// opened makes what opening a broker failed with match the durable sentinels.
func opened(err error) error {
	if errors.Is(err, broker.ErrUnreachable) || errors.Is(err, broker.ErrNoNamespace) {
		return unavailable{err}
	}
	return err
}
