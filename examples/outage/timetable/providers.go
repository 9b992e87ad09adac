package timetable

import (
	"context"
	"fmt"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
)

// troubled is a provider with a bad day: it throttles the first request, stalls in the
// middle of the third answer, and fails the fifth and the sixth.
func troubled() scripted.Script {
	rules := []scripted.Rule{
		{Request: 1, Reply: scripted.Reply{Status: 429, RetryAfter: scripted.Duration(300 * time.Millisecond), Text: "slow down"}},
		{Request: 3, Reply: scripted.Reply{Text: "The train leaves at", Hold: true, Midway: true}},
	}
	for n := 5; n <= 6; n++ {
		rules = append(rules, scripted.Rule{Request: n, Reply: scripted.Reply{Status: 503, Text: "down for the moment"}})
	}
	return scripted.Script{Rules: append(rules, scripted.Rule{Reply: scripted.Reply{Text: "The large model says: at 5:10."}})}
}

// steady is a provider that always answers.
func steady() scripted.Script {
	return scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "The small model says: at about five."}}}}
}

// Models starts two providers in this process, until ctx ends, and returns a model of each,
// over HTTP and by the official client of its API.
func Models(ctx context.Context) (large, small agents.Model, err error) {
	troubledURL, err := serve(ctx, troubled())
	if err != nil {
		return nil, nil, err
	}
	steadyURL, err := serve(ctx, steady())
	if err != nil {
		return nil, nil, err
	}
	return openai.New("large", openai.BaseURL(troubledURL+"/v1"), openai.APIKey("none")),
		anthropic.New("small", anthropic.BaseURL(steadyURL), anthropic.APIKey("none")), nil
}

func serve(ctx context.Context, s scripted.Script) (string, error) {
	ready, failed := make(chan string, 1), make(chan error, 1)
	go func() { failed <- scripted.Serve(ctx, "127.0.0.1:0", s, func(u string) { ready <- u }) }()
	select {
	case u := <-ready:
		return u, nil
	case err := <-failed:
		return "", fmt.Errorf("start a scripted provider: %w", err)
	}
}
