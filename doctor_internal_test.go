package perdure

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A server that is away is told of once, and with fewer than a majority nothing goes on.
func TestDoctor_TellsOnceOfAServerThatIsAway(t *testing.T) {
	t.Parallel()
	three := func(away ...string) (all []ServerInfo) {
		for _, node := range []string{"alder", "birch", "cedar"} {
			all = append(all, ServerInfo{Node: node, Away: strings.Contains(strings.Join(away, " "), node)})
		}
		return all
	}
	streams := func(away ...string) []CheckResult {
		return []CheckResult{{Check: "cluster", Status: CheckWarn, Found: "away", Do: "start", Away: away}}
	}
	for name, c := range map[string]struct {
		servers  []ServerInfo
		findings []CheckResult
		warned   []string // what is not ok
		do       string   // what the last of these says
	}{
		"all are there":                   {three(), nil, nil, ""},
		"the streams have told":           {three("birch"), streams("birch"), []string{"cluster"}, "perdure servers remove birch"},
		"the streams know nothing":        {three("birch"), nil, []string{"servers"}, "perdure servers remove birch"},
		"the streams tell of another one": {three("birch"), streams("cedar"), []string{"cluster", "servers"}, "perdure servers remove birch"},
		"two have one name":               {append(three()[:2], ServerInfo{Node: "cedar", Twice: true}), nil, []string{"names of servers"}, "stop all of them but one"},
		"no majority":                     {three("birch", "cedar"), streams("birch", "cedar"), []string{"cluster", "servers"}, "start what is away"},
	} {
		var warned []string
		do := ""
		for _, f := range votes(c.servers, c.findings) {
			if f.Status != CheckOK {
				warned, do = append(warned, f.Check), f.Do
			}
		}
		if diff := cmp.Diff(c.warned, warned); diff != "" || !strings.Contains(do, c.do) {
			t.Errorf("%s: it says to do %q, want %q (-want +got):\n%s", name, do, c.do, diff)
		}
	}
}
