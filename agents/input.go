package agents

import (
	"encoding/json"
	"reflect"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// reader returns how an agent of In reads its input: as the user's message.
func reader[In any]() (func(*schemas.Payload) (string, error), error) {
	switch t := reflect.TypeFor[In](); {
	case t == reflect.TypeFor[durable.None]():
		return nil, durable.Fail(durable.ErrInvalid.Code, "its input is durable.None, and a model needs a message; declare it with string")
	case t.Kind() == reflect.String || t == reflect.TypeFor[json.RawMessage]():
		return readMessage, nil
	}
	return func(p *schemas.Payload) (string, error) {
		in, err := durable.Decode[In](p)
		if err != nil {
			return "", err
		}
		data, err := json.Marshal(in)
		if err != nil {
			return "", durable.Fail(durable.ErrInvalid.Code, "the input cannot be given to the model as JSON: %v", err)
		}
		return string(data), nil
	}, nil
}

// readMessage reads a JSON string, or an object with it as "message", which
// leaves room for options beside it.
func readMessage(p *schemas.Payload) (string, error) {
	message, err := durable.Decode[string](p)
	if err != nil {
		o, objectErr := durable.Decode[struct {
			Message *string `json:"message"`
		}](p)
		if objectErr != nil || o.Message == nil {
			return "", durable.Fail(durable.ErrInvalid.Code, `an agent takes the user's message: send a JSON string, or {"message": "..."}, not %.80q`, p.GetData())
		}
		message = *o.Message
	}
	if message == "" {
		return "", durable.Fail(durable.ErrInvalid.Code, "the message is empty; say what the agent is to do")
	}
	return message, nil
}
