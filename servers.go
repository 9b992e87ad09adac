package perdure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
)

// ServerInfo is what is known of a server of the NATS cluster that the embedded servers
// of nodes form ([Cluster]).
type ServerInfo = broker.ClusterServer

// Servers returns the servers of the NATS cluster that the embedded servers of nodes
// form, those that are away included. They vote on where streams are, so one that will
// not come back is better removed. The error matches [durable.ErrUnavailable] where no
// node has such a server.
func (c *Client) Servers(ctx context.Context) ([]ServerInfo, error) {
	var answer struct {
		Servers []ServerInfo `json:"servers"`
	}
	err := c.read(ctx, "servers.list", struct{}{}, &answer)
	return answer.Servers, err
}

// RemoveServer removes a server that will not come back from the NATS cluster that the
// embedded servers of nodes form, by its node. The error matches [durable.ErrNotFound] if
// there is none, [durable.ErrConflict] if it is not away, and
// [durable.ErrUnavailable] where no node has such a server, or the servers have no
// majority.
func (c *Client) RemoveServer(ctx context.Context, node string) error {
	return c.do(ctx, "servers.remove", removeServer{node}, &struct{}{})
}

type removeServer struct {
	Node string `json:"node"`
}

// servers lists those of the cluster.
func (a *api) servers(context.Context, struct{}) (any, error) {
	all, err := a.node.b.Servers()
	if err != nil {
		return nil, durable.Fail(durable.ErrUnavailable.Code, "%v", err)
	}
	return map[string]any{"servers": all}, nil
}

func (a *api) removeServer(ctx context.Context, in removeServer) (any, error) {
	err := a.node.b.RemoveServer(ctx, in.Node)
	switch {
	case errors.Is(err, broker.ErrNoServer):
		return nil, durable.Fail(durable.ErrNotFound.Code, "%v", err)
	case errors.Is(err, broker.ErrServerThere):
		return nil, durable.Fail(durable.ErrConflict.Code, "%v", err)
	case err != nil:
		return nil, durable.Fail(durable.ErrUnavailable.Code, "%v", err)
	}
	a.node.log.Info("a server was removed from the cluster", "node", in.Node)
	return struct{}{}, nil
}

// serversWait is how long a node may take to say which servers there are.
const serversWait = 2 * time.Second

// examineServers adds what is to be said of the servers of an embedded cluster, as the
// nodes see them, to what was found: nothing where there is none.
func examineServers(ctx context.Context, b *broker.Broker, findings []CheckResult) []CheckResult {
	ctx, cancel := context.WithTimeout(ctx, serversWait)
	defer cancel()
	answer, err := b.Conn().RequestWithContext(ctx, b.Names().API("servers.list"), []byte("{}"))
	if errors.Is(err, nats.ErrNoResponders) {
		return findings
	}
	var found struct {
		Servers []ServerInfo `json:"servers"`
	}
	if err == nil {
		err = json.Unmarshal(answer.Data, &found)
	}
	if err != nil {
		return append(findings, CheckResult{Check: "servers", Status: CheckWarn, Found: fmt.Sprintf("no node says which servers its cluster has: %v", err), Do: "look at the nodes' logs"})
	}
	return votes(found.Servers, findings)
}

// votes says which servers vote. Of one that is away, of which the streams have told
// already, it says the rest there.
func votes(servers []ServerInfo, findings []CheckResult) []CheckResult {
	var there, away, twice []string
	for _, s := range servers {
		if s.Twice {
			twice = append(twice, s.Node)
		}
		if s.Away {
			away = append(away, s.Node)
		} else {
			there = append(there, s.Node)
		}
	}
	if len(twice) > 0 {
		findings = append(findings, CheckResult{
			Check: "names of servers", Status: CheckFail, Found: fmt.Sprintf("several servers of the cluster have the name of %s: votes and messages of one count as the other's, so what was accepted may be lost", strings.Join(twice, ", ")),
			Do: "stop all of them but one, at once: a directory that was copied is a server's for good; a machine that was just replaced may be seen twice for some seconds",
		})
	}
	r := CheckResult{Check: "servers", Status: CheckOK, Found: fmt.Sprintf("%d vote: %s", len(there), strings.Join(there, ", "))}
	if len(away) == 0 {
		return append(findings, r)
	}
	need := len(servers)/2 + 1
	r.Found = fmt.Sprintf("of %d that vote %d are there, %s: nothing goes on with fewer than %d", len(servers), len(there), strings.Join(there, ", "), need)
	never := fmt.Sprintf("if %s does not come back ever, and no node is to have its name: 'perdure servers remove %[1]s'", away[0])
	told := slices.IndexFunc(findings, func(f CheckResult) bool {
		return !slices.ContainsFunc(away, func(node string) bool { return !slices.Contains(f.Away, node) })
	})
	if told >= 0 && len(there) >= need {
		findings[told].Do += "; " + never
		return append(findings, r)
	}
	r.Status, r.Away = CheckWarn, away
	if len(there) < need {
		r.Status = CheckFail
	}
	r.Found += "; away is " + strings.Join(away, ", ")
	r.Do = "start what is away again; " + never
	return append(findings, r)
}
