package durable_test

import (
	"errors"
	"testing"

	"github.com/perdure/perdure/durable"
)

func TestSay_OutsideOfAStepIsInvalid(t *testing.T) {
	t.Parallel()
	if err := durable.Say(t.Context(), "hello"); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("got %v, want one that matches ErrInvalid", err)
	}
}
