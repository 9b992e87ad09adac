package perdure_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// TestClient_KindsSayWhichNodesHaveWhichBuilds: one of no name is among them.
func TestClient_KindsSayWhichNodesHaveWhichBuilds(t *testing.T) {
	t.Parallel()
	greets := func(opts ...durable.KindOption) *durable.Kind {
		return durable.Workflow(greet, func(durable.Context, string) (string, error) { return "", nil }, opts...)
	}
	one := running(t, "", perdure.Name("one"), perdure.Host(greets(durable.Build("2", greets()))))
	running(t, one.URL(), perdure.Name("two"), perdure.Host(greets()))
	kinds, err := one.Client().Kinds(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []perdure.KindInfo{{
		Kind: "greet", Type: "workflow", Methods: []string{""}, Pool: "default",
		Nodes: []perdure.KindNode{{Node: "one", Builds: []string{"2", ""}}, {Node: "two"}},
	}}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("the kinds (-want +got):\n%s", diff)
	}
	nodes, err := one.Client().Nodes(testContext(t))
	if err != nil || len(nodes) != 2 || nodes[0].Node != "one" || nodes[1].Node != "two" {
		t.Errorf("the nodes: %+v, %v", nodes, err)
	}
}
