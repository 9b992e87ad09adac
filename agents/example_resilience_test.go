package agents_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable/durabletest"
)

// A small model answers where a large one is down, and a tool that fails is left alone: the
// model is told.
func ExampleFallback() {
	large, small := &provider{name: "large"}, &provider{name: "small", up: time.Now()}
	kind := agents.New(weather,
		agents.UseModel(large,
			agents.Retry(3, time.Millisecond),
			agents.RetryOn(agents.Throttled, 10, time.Second),
			agents.Breaker(agents.Trip{Failures: 3, Within: time.Minute, Pause: 30 * time.Second}),
			agents.Fallback(small, agents.Hedge(10*time.Second)),
			agents.WaitUpTo(2*time.Hour),
		),
		agents.Tools(agents.Func("get_weather", "Current weather in a city", getWeather,
			agents.Timeout(5*time.Second),
			agents.RetryOn(agents.Throttled, 5, time.Second),
			agents.Breaker(agents.Trip{Name: "weather service"}),
		)),
	)
	w := durabletest.New(kind)
	for _, key := range []string{"a", "b"} {
		run, err := durabletest.Start(w, weather.At(key), "Does it rain?")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(run.Result())
	}
	fmt.Println("the large model was asked", large.asked(), "times")
	fmt.Println(w.Close())
	// Output:
	// from small <nil>
	// from small <nil>
	// the large model was asked 3 times
	// <nil>
}

// A tool of one's own says what its failures are.
func ExampleClassify() {
	busy := func(context.Context, place) (report, error) {
		return report{}, agents.RetryAfter(agents.Classify(errors.New("429 from the weather service"), agents.Throttled), 2*time.Second)
	}
	_, err := busy(context.Background(), place{"Oslo"})
	fmt.Println(agents.ClassOf(err), err)
	// Output: throttled 429 from the weather service
}
