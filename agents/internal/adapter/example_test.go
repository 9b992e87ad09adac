package adapter_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
)

func Example() {
	told := adapter.Told(strings.NewReader(`{"error": "model is loading"}`), nil)
	err := adapter.Failure(http.StatusServiceUnavailable, nil, agents.Unavailable, "the provider answered 503: "+told)
	fmt.Println(err, errors.Is(err, agents.ErrModelUnavailable))
	// Output: the provider answered 503: model is loading true
}
