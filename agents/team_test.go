package agents_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// opened opens a team by a directory of a node.
func opened(t *testing.T, s agents.ToolServer, d runtime.Directory) {
	t.Helper()
	if err := s.Open(runtime.WithDirectory(t.Context(), d)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func names(t *testing.T, s agents.ToolServer) (all []string) {
	t.Helper()
	tools, err := s.Tools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range tools {
		all = append(all, tool.Spec().Name)
	}
	return all
}

// TestTeamIsWhoIsAllowed: agents alone, by name or label, with one method; and while no
// node answers, those that were there before.
func TestTeamIsWhoIsAllowed(t *testing.T) {
	var away error
	all := []runtime.Description{
		{Kind: "back-office", Type: "agent", Methods: []string{"ask"}, Text: "d", Input: json.RawMessage(`{"$ref":"#/$defs/x","$defs":{"x":{"type":"string"}}}`)},
		{Kind: "back-two", Type: "agent", Methods: []string{"a", "b"}},
		{Kind: "flow", Type: "workflow", Methods: []string{""}, Text: "d", Labels: []string{"public"}},
		{Kind: "perdure-limit", Type: "limit", Methods: []string{""}, Labels: []string{"public"}},
		{Kind: "press", Type: "agent", Methods: []string{""}, Labels: []string{"eu", "public"}},
		{Kind: "secret", Type: "agent", Methods: []string{""}, Labels: []string{"private"}},
		{Kind: "shy", Type: "workflow", Methods: []string{""}, Labels: []string{"public"}},
	}
	d := func(context.Context) ([]runtime.Description, error) { return slices.Clone(all), away }
	s := agents.Team(agents.Named("back-*"), agents.Labelled("public"))
	opened(t, s, d)
	if got, want := names(t, s), []string{"team_back-office_ask", "team_press"}; !slices.Equal(got, want) {
		t.Errorf("the team is %q, want %q", got, want)
	}
	away = errors.New("nobody answers")
	if got, want := names(t, s), []string{"team_back-office_ask", "team_press"}; !slices.Equal(got, want) {
		t.Errorf("while nobody answers the team is %q, want %q", got, want)
	}
	away, all = nil, all[:3]
	if got, want := names(t, s), []string{"team_back-office_ask"}; !slices.Equal(got, want) {
		t.Errorf("the team is %q afterwards, want %q", got, want)
	}
	wide := agents.Team(agents.Named("*"), agents.AllTypes())
	opened(t, wide, d)
	if got, want := names(t, wide), []string{"team_back-office_ask", "team_flow"}; !slices.Equal(got, want) {
		t.Errorf("the team of all types is %q, want %q", got, want)
	}
}

func TestTeamSaysWhatIsWrongWithIt(t *testing.T) {
	m := mirror(t)
	for want, s := range map[string]agents.ToolServer{
		"say who may be asked": agents.Team(agents.AllTypes()),
		"it is no pattern":     agents.Team(agents.Named("back[")),
	} {
		wantErr(t, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Served(s))).Validate(), durable.ErrInvalid, want)
	}
	wantErr(t, agents.New(weather, agents.UseModel(m), agents.Describe("d", "two words")).Validate(), durable.ErrInvalid, `"two words"`)
	wantErr(t, agents.Team(agents.Named("x")).Open(t.Context()), durable.ErrInvalid, "needs a node")
}
