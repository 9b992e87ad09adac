package perdure

import (
	"cmp"
	"context"
	"errors"
	"unicode/utf8"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func deadLetterOf(d broker.DeadLetter) DeadLetter {
	l := DeadLetter{Seq: d.Seq, At: d.Stored, Kind: d.Kind, Key: d.Key, Subject: d.Subject, ID: d.ID, Code: d.Code, Reason: d.Reason}
	if utf8.Valid(d.Data) {
		l.Body = string(d.Data)
	} else {
		l.Bytes = d.Data
	}
	return l
}

// dead lists the messages that could not be handled.
func (a *api) dead(ctx context.Context, in SelectDead) (any, error) {
	found, next, err := a.selectDead(ctx, in, cmp.Or(in.Limit, 100))
	if err != nil {
		return nil, err
	}
	list := DeadList{Dead: []DeadLetter{}, More: next != 0, Next: next}
	for _, d := range found {
		list.Dead = append(list.Dead, deadLetterOf(d))
	}
	return list, nil
}

// selectDead returns up to limit of those that are selected, and where the next page
// begins if there are more.
func (a *api) selectDead(ctx context.Context, in SelectDead, limit int) (found []broker.DeadLetter, next uint64, err error) {
	inbox := a.node.b.Inbox()
	if in.Seq != 0 {
		d, ok, err := inbox.DeadLetter(ctx, in.Seq)
		if err == nil && !ok {
			err = durable.Fail(durable.ErrNotFound.Code, "no dead letter has the number %d: it never had, or was sent again, dropped, or too old", in.Seq)
		}
		return append(found, d), 0, err
	}
	if in.Kind != "" {
		if err := schemas.Kind(in.Kind).Validate(); err != nil {
			return nil, 0, err
		}
	}
	if limit < 1 || limit > 1000 {
		return nil, 0, durable.Fail(durable.ErrInvalid.Code, "a limit of %d: ask for 1 to 1000 dead letters at once, and go on with after", limit)
	}
	after := in.After
	for {
		page, err := inbox.DeadLetters(ctx, schemas.Kind(in.Kind), in.Key, after, 256)
		if err != nil {
			return nil, 0, err
		}
		for _, d := range page {
			if (in.Code != "" && d.Code != in.Code) || d.Stored.Before(in.Since) || (!in.Until.IsZero() && !d.Stored.Before(in.Until)) {
				continue
			}
			if len(found) == limit {
				return found, found[limit-1].Seq, nil
			}
			found = append(found, d)
		}
		if len(page) < 256 {
			return found, 0, nil
		}
		after = page[len(page)-1].Seq
	}
}

func (a *api) deadGet(ctx context.Context, in struct {
	Seq uint64 `json:"seq"`
},
) (any, error) {
	if in.Seq == 0 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "no number of a dead letter is given: dead.list has them, as seq")
	}
	found, _, err := a.selectDead(ctx, SelectDead{Seq: in.Seq}, 1)
	if err != nil {
		return nil, err
	}
	l := deadLetterOf(found[0])
	l.Headers = found[0].Headers
	if _, ok := l.Headers[broker.HeaderEnvelope]; ok {
		env := &schemas.Envelope{}
		if proto.Unmarshal(found[0].Data, env) == nil { // else the reason says that it is damaged
			if l.Message, err = protojson.Marshal(env); err != nil {
				return nil, err
			}
		}
	}
	o, err := actors.LookAhead(ctx, a.node.b, a.node.host.Kinds(), found[0], nil)
	l.Run, l.Outlook, l.Bad = o.Run, o.Text, o.Bad
	return l, err
}

// severalDead selects what a change is for: one, or as many as are said.
func (a *api) severalDead(ctx context.Context, in SelectDead) ([]broker.DeadLetter, uint64, error) {
	if in.Seq == 0 && in.Limit == 0 {
		return nil, 0, durable.Fail(durable.ErrInvalid.Code, "neither the number of one dead letter is given, nor a limit for several: say which, or how many at most")
	}
	return a.selectDead(ctx, in, in.Limit)
}

// redrive sends dead letters again. Each is removed once it is accepted: a crash
// between the two sends it twice, with one ID, which is one run.
func (a *api) redrive(ctx context.Context, in RedriveDead) (any, error) {
	if in.Input != nil && in.Seq == 0 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "another input is for one dead letter: give its number")
	}
	var input []byte
	if in.Input != nil {
		compact, err := broker.CompactJSON(in.Input)
		if err != nil {
			return nil, durable.Fail(durable.ErrInvalid.Code, "the input is not JSON: %v", err)
		}
		input = compact
	}
	found, next, err := a.severalDead(ctx, in.SelectDead)
	if err != nil {
		return nil, err
	}
	answer := DeadDones{Dead: []DeadDone{}, More: next != 0, Next: next}
	for _, d := range found {
		o, err := actors.LookAhead(ctx, a.node.b, a.node.host.Kinds(), d, input)
		if err != nil {
			return nil, err
		}
		one := DeadDone{Seq: d.Seq, Run: o.Run, Outlook: o.Text, Done: !o.Bad || in.Force}
		if one.Done && !in.DryRun {
			switch err := a.node.b.Inbox().Redrive(ctx, d, input); {
			case errors.Is(err, broker.ErrNotSendable), errors.Is(err, broker.ErrUnknownKind), errors.Is(err, broker.ErrTooLarge):
				one.Done, one.Outlook = false, err.Error()
			case err != nil:
				return nil, err
			default:
				if err := a.node.b.Inbox().DropDead(ctx, d.Seq); err != nil {
					return nil, err
				}
			}
		}
		answer.Dead = append(answer.Dead, one)
	}
	return answer, nil
}

func (a *api) drop(ctx context.Context, in DropDead) (any, error) {
	found, next, err := a.severalDead(ctx, in.SelectDead)
	if err != nil {
		return nil, err
	}
	answer := DeadDones{Dead: []DeadDone{}, More: next != 0, Next: next}
	for _, d := range found {
		if !in.DryRun {
			if err := a.node.b.Inbox().DropDead(ctx, d.Seq); err != nil {
				return nil, err
			}
		}
		answer.Dead = append(answer.Dead, DeadDone{Seq: d.Seq, Done: true})
	}
	return answer, nil
}
