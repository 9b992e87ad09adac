package perdure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	ctx     context.Context
	index   *actors.Index
	service micro.Service
}

// apiTimeout bounds one request.
const apiTimeout = 20 * time.Second

func serveAPI(ctx context.Context, n *Node) (*api, error) {
	a := &api{node: n, ctx: ctx, index: actors.NewIndex(ctx, n.b)}
	var err error
	a.service, err = micro.AddService(n.b.Conn(), micro.Config{
		Name: "perdure", Version: "0.1.0", Description: "Durable agents, namespace " + n.b.Namespace(),
		Metadata: map[string]string{"namespace": n.b.Namespace(), "pool": n.b.Pool()},
	})
	if err != nil {
		return nil, err
	}
	endpoints := map[string]func(context.Context, []byte) (any, error){
		"runs.start":   decoded(a.start),
		"runs.get":     decoded(a.get),
		"runs.list":    decoded(a.list),
		"runs.events":  decoded(a.events),
		"runs.cancel":  decoded(a.cancel),
		"actors.query": decoded(a.query),
		"kinds.list":   decoded(a.kinds),
		"nodes.list":   decoded(a.nodes),
		"runs.signal":  later("signals"),
		"runs.approve": later("approvals"),
		"runs.retry":   later("retry from a failed step"),
		"runs.fork":    later("fork from a step"),
	}
	for kind := range n.host.Kinds() {
		endpoints["kinds."+string(kind)+".query"] = decoded(a.queryHere)
		endpoints["kinds."+string(kind)+".info"] = decoded(func(context.Context, struct{}) (any, error) { return kindInfoOf(n.host.Kinds()[kind]), nil })
	}
	for name, fn := range endpoints {
		if err := a.service.AddEndpoint(strings.ReplaceAll(name, ".", "-"), a.handler(fn), micro.WithEndpointSubject(n.b.Names().API(name))); err != nil {
			return nil, errors.Join(fmt.Errorf("add endpoint %s: %w", name, err), a.service.Stop())
		}
	}
	return a, nil
}

func (a *api) stop() error { return a.service.Stop() }

// handler answers each request on a goroutine of its own, so that a slow one
// holds no other up; it ends with the request's timeout.
func (a *api) handler(fn func(context.Context, []byte) (any, error)) micro.Handler {
	return micro.HandlerFunc(func(req micro.Request) {
		go func() {
			ctx, cancel := context.WithTimeout(a.ctx, apiTimeout)
			defer cancel()
			answer, err := fn(ctx, req.Data())
			if err == nil {
				err = req.RespondJSON(answer)
			}
			if err != nil && a.ctx.Err() == nil {
				a.refuse(req, err)
			}
		}()
	})
}

func (a *api) refuse(req micro.Request, err error) {
	e := runtime.AsError(err)
	switch {
	case errors.Is(err, schemas.ErrInvalidName):
		e = durable.Fail(durable.ErrInvalid.Code, "%v", err).(*durable.Error)
	case errors.Is(err, broker.ErrUnknownKind):
		e = durable.Fail(durable.ErrNotFound.Code, "%v", err).(*durable.Error)
	}
	body, _ := json.Marshal(APIError{Code: e.Code, Message: e.Message, Hint: e.Details}) // strings always encode
	if err := req.Error(httpCode(e.Code), e.Message, body); err != nil {
		a.node.log.Debug("an answer was not sent", "error", err)
	}
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
	case durable.ErrConflict.Code:
		return "409"
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

// decoded makes a handler of a function of its decoded request.
func decoded[In any](fn func(context.Context, In) (any, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, body []byte) (any, error) {
		var in In
		if len(strings.TrimSpace(string(body))) > 0 {
			if err := json.Unmarshal(body, &in); err != nil {
				return nil, durable.Fail(durable.ErrInvalid.Code, "the request is not the JSON that is wanted: %v", err)
			}
		}
		return fn(ctx, in)
	}
}

// later answers for what a later version brings.
func later(what string) func(context.Context, []byte) (any, error) {
	return func(context.Context, []byte) (any, error) {
		return nil, &durable.Error{Code: durable.ErrUnimplemented.Code, Final: true,
			Message: what + " are not in this version", Details: "start, get, list, events, cancel and query are; the changelog says when this comes"}
	}
}

func (a *api) start(ctx context.Context, in startRequest) (any, error) {
	id := schemas.Identity{Kind: schemas.Kind(in.Kind), Key: in.Key}
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if len(in.Input) == 0 {
		in.Input = json.RawMessage("null")
	}
	env := &schemas.Envelope{Type: schemas.Envelope_TASK, Id: in.ID, Method: in.Method, Payload: &schemas.Payload{Data: in.Input}}
	if kind := a.node.host.Kinds()[id.Kind]; kind != nil { // checked before it is accepted, where it can be
		m, err := kind.Method(in.Method)
		if err != nil {
			return nil, err
		}
		if m.Check != nil {
			if err := m.Check(env.Payload); err != nil {
				return nil, durable.Fail(durable.ErrInvalid.Code, "input of %s: %v", id, err)
			}
		}
		if env.Id == "" && kind.OncePerKey {
			env.Id = id.Key
		}
	} else if env.Id == "" {
		once, err := a.oncePerKey(ctx, id.Kind)
		if err != nil {
			return nil, err
		}
		if once {
			env.Id = id.Key
		}
	}
	if env.Id == "" {
		env.Id = NewMessageID()
	}
	ref := id.Run(schemas.RunID(env.Id))
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	if err := actors.Publish(ctx, a.node.b, broker.LocalDomain, id, env); err != nil {
		return nil, err
	}
	return startAnswer{ref.String()}, nil
}

// oncePerKey asks a node that has a kind whether it is a workflow.
func (a *api) oncePerKey(ctx context.Context, kind schemas.Kind) (bool, error) {
	var info kindInfo
	if err := a.node.client.request(ctx, "kinds."+string(kind)+".info", struct{}{}, &info); err != nil {
		return false, err
	}
	return info.Type == "workflow", nil
}

func (a *api) get(ctx context.Context, in runRequest) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	rec, status, reason, err := actors.Look(ctx, a.node.b, ref)
	if err != nil {
		return nil, err
	}
	info := RunInfo{Done: actors.Done{Run: ref.String(), Status: actors.StatusName(status)}, Reason: reason}
	if actors.IsEnd(status) {
		info.Done = actors.DoneOf(ref, rec)
	}
	info.Method, info.Parent, info.StepCount = rec.GetMethod(), rec.GetParent(), rec.GetStepCount()
	info.Published, info.Started = unix(rec.GetPublished()), unix(rec.GetStarted())
	for _, c := range rec.GetClaims() {
		info.Claims = append(info.Claims, Claim{c.GetNode(), unix(c.GetAt()), c.GetReplayed()})
	}
	for _, s := range rec.GetSteps() {
		info.Steps = append(info.Steps, Step{
			Path: s.GetPath(), Name: s.GetName(), Kind: s.GetKind(), At: unix(s.GetAt()), TookMS: float64(s.GetTook()) / 1e6,
			Attempts: s.GetAttempts(), Claim: s.GetClaim(), Error: s.GetError(), Attributes: s.GetAttributes(),
		})
	}
	return info, nil
}

func unix(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func (a *api) list(ctx context.Context, in ListRuns) (any, error) {
	if in.Limit < 0 || in.Limit > 1000 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "a limit of %d: ask for 1 to 1000 runs at once, and go on with after", in.Limit)
	}
	runs, more, err := a.index.List(ctx, actors.Filter{Kind: in.Kind, Key: in.Key, Status: in.Status, Limit: in.Limit, After: in.After})
	if err != nil {
		return nil, err
	}
	if runs == nil {
		runs = []RunSummary{}
	}
	return RunList{runs, more}, nil
}

func (a *api) events(ctx context.Context, in struct {
	Run  string `json:"run"`
	From uint64 `json:"from"`
},
) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	events, err := actors.Events(ctx, a.node.b, ref, in.From)
	if err != nil {
		return nil, err
	}
	return map[string]any{"run": ref.String(), "events": events}, nil
}

func (a *api) cancel(ctx context.Context, in cancelRequest) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	_, status, _, err := actors.Look(ctx, a.node.b, ref)
	if err != nil {
		return nil, err
	}
	if actors.IsEnd(status) {
		return nil, durable.Fail(durable.ErrConflict.Code, "cancel %s: it is %s already", ref, actors.StatusName(status))
	}
	env := &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: NewMessageID(), Run: string(ref.ID)}
	if in.Reason != "" {
		env.Error = &schemas.Error{Message: in.Reason}
	}
	if err := actors.Publish(ctx, a.node.b, broker.LocalDomain, ref.Identity, env); err != nil {
		return nil, err
	}
	return struct{}{}, nil
}

// query forwards a query to a node that has the kind.
func (a *api) query(ctx context.Context, in queryRequest) (any, error) {
	id, err := schemas.ParseIdentity(in.Actor)
	if err != nil {
		return nil, err
	}
	if a.node.host.Kinds()[id.Kind] != nil {
		return a.queryHere(ctx, in)
	}
	var answer queryAnswer
	err = a.node.client.request(ctx, "kinds."+string(id.Kind)+".query", in, &answer)
	return answer, err
}

func (a *api) queryHere(ctx context.Context, in queryRequest) (any, error) {
	id, err := schemas.ParseIdentity(in.Actor)
	if err != nil {
		return nil, err
	}
	input, err := actors.PayloadOf(actors.Done{Result: in.Input, Codec: in.Codec})
	if err != nil {
		return nil, err
	}
	p, err := actors.Ask(ctx, a.node.b, a.node.host.Kinds(), id, in.Query, input)
	if err != nil {
		return nil, err
	}
	var answer queryAnswer
	answer.Result, answer.Codec = actors.PayloadJSON(p)
	return answer, nil
}

// kindInfo is what people and programs are told of a kind.
type kindInfo struct {
	Kind    string   `json:"kind"`
	Type    string   `json:"type"`
	Methods []string `json:"methods"`
	Queries []string `json:"queries,omitempty"`
}

func kindInfoOf(k *runtime.Kind) kindInfo {
	return kindInfo{
		Kind: string(k.Name), Type: k.Type,
		Methods: slices.Sorted(maps.Keys(k.Methods)), Queries: slices.Sorted(maps.Keys(k.Queries)),
	}
}

// kinds lists the kinds of every node.
func (a *api) kinds(ctx context.Context, _ struct{}) (any, error) {
	nodes, err := actors.Nodes(ctx, a.node.b)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, n := range nodes {
		for _, k := range n.Kinds {
			names[k] = true
		}
	}
	list := []kindInfo{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if k := a.node.host.Kinds()[schemas.Kind(name)]; k != nil {
			list = append(list, kindInfoOf(k))
			continue
		}
		var info kindInfo
		if err := a.node.client.request(ctx, "kinds."+name+".info", struct{}{}, &info); err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return map[string]any{"kinds": list}, nil
}

// nodes lists the nodes of every pool.
func (a *api) nodes(ctx context.Context, _ struct{}) (any, error) {
	nodes, err := actors.Nodes(ctx, a.node.b)
	return map[string]any{"nodes": nodes}, err
}
