package broker

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A ClusterServer is a server of the NATS cluster that the embedded servers of nodes
// form, as one of them knows it. All of them vote on where streams are, those that are
// away included: it takes more than half of them.
type ClusterServer struct {
	// Node that the server is in, or was: what its name is made of; its number in the
	// cluster where it was away all the time since the server was started that says this.
	Node string `json:"node"`
	// Leader says that it decides where streams are.
	Leader bool `json:"leader,omitempty"`
	// Away says that it is not connected.
	Away bool `json:"away,omitempty"`
	// Heard is when the leader heard of it last, where that is known.
	Heard time.Time `json:"heard,omitzero"`

	// Twice says that several servers have its name, as where one was started with a copy
	// of another one's directory: votes and messages of one count as the other's.
	Twice bool `json:"twice,omitempty"`

	peer string // its number
}

// unnamedPeer begins what nats-server has in place of the name of a peer that it has not
// heard of since it was started: it does not store names.
const unnamedPeer = "Server name unknown at this time"

// Errors of [Broker.RemoveServer].
var (
	// ErrNoServer is matched where no server of the cluster is, or was, in that node.
	ErrNoServer = errors.New("no such server in the cluster")
	// ErrServerThere is matched where the server that is to be removed is not away.
	ErrServerThere = errors.New("the server is connected")
)

// Clustered reports whether the embedded server of this process is one of a cluster.
func (b *Broker) Clustered() bool { return b.embedded != nil && b.cfg.Cluster != nil }

// Servers returns the servers of the cluster that this process' embedded server is one
// of, sorted by node.
func (b *Broker) Servers() ([]ClusterServer, error) {
	if !b.Clustered() {
		return nil, fmt.Errorf("servers of the cluster: %w: the server of this process is not one of a cluster", ErrNoServer)
	}
	info, err := b.embedded.srv.Jsz(&server.JSzOptions{})
	if err != nil {
		return nil, fmt.Errorf("servers of the cluster: %w", err)
	}
	if info.Meta == nil {
		return nil, errors.New("servers of the cluster: this server does not know them yet; ask again")
	}
	own, leads := b.embedded.srv.Name(), info.Meta.Leader
	twice := b.embedded.twice()
	all := []ClusterServer{{Node: nodeOf(own), Leader: leads == own, Twice: twice[own]}}
	for _, p := range info.Meta.Replicas {
		if p.Name == own {
			continue // it is among the others while nobody leads
		}
		s := ClusterServer{Node: nodeOf(p.Name), Leader: p.Name == leads, Away: p.Offline, Twice: twice[p.Name], peer: p.Peer}
		if strings.HasPrefix(p.Name, unnamedPeer) { // not heard of since this server was started
			s.Node = p.Peer
		}
		if leads == own && p.Active > 0 { // the others do not hear of it
			s.Heard = info.Now.Add(-p.Active)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b ClusterServer) int { return strings.Compare(a.Node, b.Node) })
	return all, nil
}

// twice returns the names that several servers have which are connected to this one, or one
// of them and this one.
func (e *embedded) twice() map[string]bool {
	twice := map[string]bool{}
	ids := map[string]string{e.srv.Name(): e.srv.ID()}
	if routes, err := e.srv.Routez(nil); err == nil {
		for _, r := range routes.Routes {
			if id, ok := ids[r.RemoteName]; ok && id != r.RemoteID {
				twice[r.RemoteName] = true
			}
			ids[r.RemoteName] = r.RemoteID
		}
	}
	return twice
}

// RemoveServer removes a server that will not come back from the cluster that this
// process' embedded server is one of, by its node: it votes no more, and what it had is put on
// another one, where there is one. The error matches [ErrNoServer], or [ErrServerThere]
// if it is not away. A majority of the servers, that one included, has to be there.
func (b *Broker) RemoveServer(ctx context.Context, node string) error {
	wrap := func(err error) error { return fmt.Errorf("remove the server of node %q: %w", node, err) }
	all, err := b.Servers()
	if err != nil {
		return wrap(err)
	}
	i := slices.IndexFunc(all, func(s ClusterServer) bool { return s.Node == node })
	switch {
	case i < 0:
		var names []string
		for _, s := range all {
			names = append(names, s.Node)
		}
		return wrap(fmt.Errorf("%w: it has %s", ErrNoServer, strings.Join(names, ", ")))
	case !all[i].Away:
		return wrap(fmt.Errorf("%w: stop its node first; one that comes back is a server of the cluster again", ErrServerThere))
	}
	nc, err := b.embedded.administrator()
	if err != nil {
		return wrap(err)
	}
	defer nc.Close()
	body, err := json.Marshal(server.JSApiMetaServerRemoveRequest{Peer: all[i].peer})
	if err != nil {
		return wrap(err)
	}
	answer, err := nc.RequestWithContext(ctx, server.JSApiRemoveServer, body)
	if err != nil {
		return wrap(fmt.Errorf("the servers do not answer: it takes a majority of them, and this one still counts: %w", err))
	}
	var done server.JSApiMetaServerRemoveResponse
	if err := json.Unmarshal(answer.Data, &done); err != nil {
		return wrap(fmt.Errorf("%w: the answer is %.200q: %w", ErrIncompatible, answer.Data, err))
	}
	if done.Error != nil {
		return wrap(errors.New(done.Error.Description))
	}
	return nil
}

// administratorName is the user of the system account in an embedded server.
const administratorName = "perdure-administrator"

// clientAuth lets every client of an embedded server in, as a server does that has no
// users, and who knows the secret of this process to its system account.
type clientAuth struct {
	secret string
	srv    *server.Server
}

func newClientAuth() *clientAuth { return &clientAuth{secret: rand.Text()} }

// Check is that of the server's Authentication.
func (a *clientAuth) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	if o.Username != administratorName {
		return true
	}
	if subtle.ConstantTimeCompare([]byte(o.Password), []byte(a.secret)) != 1 {
		return false
	}
	c.RegisterUser(&server.User{Username: administratorName, Account: a.srv.SystemAccount()})
	return true
}

// administrator connects to the system account of the embedded server.
func (e *embedded) administrator() (*nats.Conn, error) {
	nc, err := nats.Connect("", nats.InProcessServer(e.srv), nats.UserInfo(administratorName, e.clientAuth.secret), nats.NoReconnect())
	if err != nil {
		return nil, fmt.Errorf("connect to the system account of the embedded NATS server: %w", err)
	}
	return nc, nil
}
