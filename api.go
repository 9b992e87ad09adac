package perdure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// APIError is the body of an answer that is an error; the header
// Nats-Service-Error-Code has its number.
type APIError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// api serves <ns>.api.> as the NATS micro service "perdure": whichever node is
// asked answers.
type api struct {
	node    *Node
	ctx     context.Context // of every request
	end     context.CancelFunc
	index   *actors.Index
	service micro.Service
	short   places // of requests that are soon answered
	updates places // of those that wait for a run
	queries places // of those that wait for what others have written
}

// places bounds how many requests of a sort are answered at once. Each takes one, and
// stop takes all of them.
type places struct {
	of    string // what the requests are, for people
	taken chan struct{}
}

func placesOf(what string) places { return places{what, make(chan struct{}, apiPlaces)} }

const (
	// apiTimeout bounds one request.
	apiTimeout = 20 * time.Second
	// apiPlaces is how many requests of a sort a node answers at once, so that those
	// that wait keep no other from being answered. One over it is refused and does not
	// wait: some ask further requests of the API.
	apiPlaces = 1024
	// apiWindUp is how long requests that were told to end may take.
	apiWindUp = 6 * time.Second
)

func serveAPI(ctx context.Context, n *Node) (*api, error) {
	ctx, end := context.WithCancel(ctx)
	a := &api{node: n, ctx: ctx, end: end, short: placesOf("requests"), updates: placesOf("updates"), queries: placesOf("queries")}
	a.index = actors.NewIndex(ctx, n.b, n.log, a.oncePerKey)
	var err error
	a.service, err = micro.AddService(n.b.Conn(), micro.Config{
		Name: "perdure", Version: "0.1.0", Description: "Durable agents, namespace " + n.b.Namespace(),
		Metadata: map[string]string{"namespace": n.b.Namespace(), "pool": n.b.Pool()},
	})
	if err != nil {
		end()
		return nil, err
	}
	endpoints := map[string]func(context.Context, []byte) (any, error){
		"runs.start":     decoded(a.start),
		"runs.get":       decoded(a.get),
		"runs.list":      decoded(a.list),
		"runs.count":     decoded(a.count),
		"runs.events":    decoded(a.events),
		"runs.stream":    decoded(a.stream),
		"runs.cancel":    decoded(a.cancel),
		"runs.signal":    decoded(a.signal),
		"runs.pause":     decoded(a.control("pause", schemas.Control_PAUSE)),
		"runs.resume":    decoded(a.control("resume", schemas.Control_RESUME)),
		"runs.terminate": decoded(a.control("terminate", schemas.Control_TERMINATE)),
		"actors.query":   decoded(a.query),
		"kinds.list":     decoded(a.kinds),
		"nodes.list":     decoded(a.nodes),
		"dead.list":      decoded(a.dead),
		"dead.get":       decoded(a.deadGet),
		"dead.redrive":   decoded(a.redrive),
		"dead.drop":      decoded(a.drop),
		"runs.update":    decoded(a.update),
		"runs.approve":   decoded(a.approve),
		"runs.answer":    decoded(a.answerQuestion),
		"inbox.list":     decoded(a.inbox),
		"runs.retry":     decoded(a.retry),
		"runs.fork":      decoded(a.fork),
		"budgets.list":   decoded(a.budgets),
		"budgets.raise":  decoded(a.raiseBudget),
		"agents.set":     decoded(a.setAgent),
		"agents.get":     decoded(a.agent),
	}
	maps.Copy(endpoints, a.schedules())
	if n.b.Clustered() {
		endpoints["servers.list"] = decoded(a.servers)
		endpoints["servers.remove"] = decoded(a.removeServer)
	}
	for kind, k := range n.host.Kinds() {
		if k.EveryNode {
			continue // every node has one
		}
		endpoints["kinds."+string(kind)+".query"] = decoded(a.queryHere)
		endpoints["kinds."+string(kind)+".info"] = decoded(func(context.Context, struct{}) (any, error) { return kindInfoOf(n.host.Kinds()[kind]), nil })
		if k.Configure == nil {
			continue
		}
		endpoints["kinds."+string(kind)+".set"] = decoded(a.setHere)
		endpoints[settingsEndpoint(string(kind), n.host.Node())] = decoded(func(context.Context, struct{}) (any, error) { return n.settings.of(kind), nil })
	}
	for name, fn := range endpoints {
		service, _, _ := strings.Cut(name, settingsInfix) // the name of a node may be none of a service
		opts := []micro.EndpointOpt{micro.WithEndpointSubject(n.b.Names().API(name))}
		if about := n.about(name); about != nil {
			opts = append(opts, micro.WithEndpointMetadata(about))
		}
		if err := a.service.AddEndpoint(strings.ReplaceAll(service, ".", "-"), a.handler(a.placesFor(name), fn), opts...); err != nil {
			return nil, errors.Join(fmt.Errorf("add endpoint %s: %w", name, err), a.stop())
		}
	}
	return a, nil
}

// stop takes no more requests, tells those that are being answered to end, and
// waits for them, and for the index.
func (a *api) stop() error {
	a.end()
	err := a.service.Stop()
	late := time.NewTimer(apiWindUp)
	defer late.Stop()
	for _, p := range []places{a.short, a.updates, a.queries} {
		if left := p.takeAll(late.C); left > 0 {
			a.node.log.Error("requests of the API do not return; they are left behind: a query does not return", p.of, left, "after", apiWindUp)
			break // the time is over for the others, too
		}
	}
	a.index.Close()
	return err
}

// takeAll waits until no request has a place, but not longer than late, and returns
// how many have one then.
func (p places) takeAll(late <-chan time.Time) (left int) {
	for taken := range apiPlaces {
		select {
		case p.taken <- struct{}{}:
		case <-late:
			return apiPlaces - taken
		}
	}
	return 0
}

// placesFor returns the places of the requests to an endpoint.
func (a *api) placesFor(endpoint string) places {
	switch {
	case endpoint == "runs.update":
		return a.updates
	case strings.HasSuffix(endpoint, ".query"):
		return a.queries
	}
	return a.short
}

// handler answers each request on a goroutine of its own, so that a slow one
// holds no other up; it ends with the request's timeout, or when the API stops,
// which waits for it. It answers by the connection: a micro.Request is used by the
// service again once its handler has returned.
func (a *api) handler(in places, fn func(context.Context, []byte) (any, error)) micro.Handler {
	return micro.HandlerFunc(func(req micro.Request) {
		reply, body := req.Reply(), req.Data()
		select {
		case in.taken <- struct{}{}:
		default:
			a.answer(reply, nil, durable.Fail(durable.ErrUnavailable.Code, "this node answers %d %s already, as many as it does at once; nothing was done: ask again in a moment", apiPlaces, in.of))
			return
		}
		go func() {
			defer func() { <-in.taken }()
			ctx, cancel := context.WithTimeout(a.ctx, apiTimeout)
			defer cancel()
			out, err := fn(ctx, body)
			a.answer(reply, out, err)
		}()
	})
}

// answer sends the answer to a request, unless the node stops: whoever asked asks
// another.
func (a *api) answer(reply string, out any, err error) {
	msg := nats.NewMsg(reply)
	if err == nil {
		msg.Data, err = a.encode(out)
	}
	if a.ctx.Err() != nil {
		return
	}
	if err != nil {
		refuse(msg, err)
	}
	if err := a.node.b.Conn().PublishMsg(msg); err != nil {
		a.node.log.Debug("an answer was not sent", "error", err)
	}
}

// encode returns an answer that fits into a message.
func (a *api) encode(out any) ([]byte, error) {
	data, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	if limit := a.node.b.Conn().MaxPayload(); int64(len(data)) > limit {
		return nil, durable.Fail(durable.ErrTooLarge.Code, "the answer has %d bytes; a message of this NATS server has at most %d: ask for less", len(data), limit)
	}
	return data, nil
}

// refuse makes answer say why there is none.
func refuse(answer *nats.Msg, err error) {
	e := runtime.AsError(err)
	switch {
	case errors.Is(err, schemas.ErrInvalidName):
		e = durable.Fail(durable.ErrInvalid.Code, "%v", err).(*durable.Error)
	case errors.Is(err, broker.ErrUnknownKind):
		e = durable.Fail(durable.ErrNotFound.Code, "%v", err).(*durable.Error)
	}
	answer.Data, _ = json.Marshal(APIError{Code: e.Code, Message: e.Message, Hint: e.Details}) // strings always encode
	answer.Header.Set(micro.ErrorHeader, e.Message)
	answer.Header.Set(micro.ErrorCodeHeader, httpCode(e.Code))
}

// httpCode is the number of the header Nats-Service-Error-Code.
func httpCode(code string) string {
	switch code {
	case durable.ErrInvalid.Code:
		return "400"
	case durable.ErrDenied.Code:
		return "403"
	case durable.ErrNotFound.Code:
		return "404"
	case durable.ErrConflict.Code, durable.ErrBusy.Code, durable.ErrSuperseded.Code:
		return "409"
	case durable.ErrAnswered.Code:
		return "410"
	case durable.ErrTooLarge.Code:
		return "413"
	case durable.ErrUnimplemented.Code:
		return "501"
	case durable.ErrUnavailable.Code:
		return "503"
	case durable.ErrTimeout.Code:
		return "504"
	}
	return "500"
}
