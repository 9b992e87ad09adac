package agents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// maxRepairs is how often a bad answer is handed back to the model in a run.
const maxRepairs = 2

// An answerer makes the result of a run from the text of a model.
type answerer struct {
	spec *OutputSpec // nil: text
	wrap bool        // the object has one property, wrapped
	// read decodes an answer. Its error tells the model what is wrong.
	read func(text string) (*schemas.Payload, error)
}

// wrapped is the property that holds an answer which is no object by itself:
// providers want an object.
const wrapped = "answer"

// answers returns how an agent of Out answers.
func answers[Out any]() (answerer, error) {
	if isText(reflect.TypeFor[Out]()) {
		return answerer{read: readText}, nil
	}
	root, err := schemaOf[Out]()
	if err != nil {
		return answerer{}, durable.Fail(durable.ErrInvalid.Code, "its answer: %v", err)
	}
	wrap := root.Type != "object"
	if wrap {
		root = object([]string{wrapped}, root)
	}
	s, err := compile(root)
	if err != nil {
		return answerer{}, durable.Fail(durable.ErrInvalid.Code, "its answer: %v", err)
	}
	return answerer{
		spec: &OutputSpec{Name: wrapped, Schema: s.text, Strict: strict(root)}, wrap: wrap,
		read: func(text string) (*schemas.Payload, error) { return readAnswer[Out](s, wrap, text) },
	}, nil
}

// text is an answer in JSON as a model would write it.
func (a answerer) text(answer json.RawMessage) string {
	var text string
	switch {
	case a.spec == nil && json.Unmarshal(answer, &text) == nil:
		return text
	case a.wrap:
		return `{"` + wrapped + `":` + string(answer) + "}"
	}
	return string(answer)
}

// isText reports whether an answer of a type is the model's text as it is.
func isText(t reflect.Type) bool {
	return t == reflect.TypeFor[string]() || t == reflect.TypeFor[json.RawMessage]() || t == reflect.TypeFor[any]()
}

func readText(text string) (*schemas.Payload, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("it is empty")
	}
	return durable.Result(text)
}

func readAnswer[Out any](s *schema, wrap bool, text string) (*schemas.Payload, error) {
	data := unfenced(text)
	if err := s.check(data); err != nil {
		return nil, fmt.Errorf("it does not match the schema %s: %w", s.text, err)
	}
	if wrap {
		var o map[string]json.RawMessage
		if err := json.Unmarshal(data, &o); err != nil {
			return nil, err
		}
		data = o[wrapped]
	}
	out, err := durable.Decode[Out](&schemas.Payload{Data: data})
	if err != nil {
		return nil, err
	}
	return durable.Result(out)
}

// unfenced returns the JSON of a text that models without a mode for structured
// answers like to put into a fenced block.
func unfenced(text string) []byte {
	data := bytes.TrimSpace([]byte(text))
	rest, ok := bytes.CutPrefix(data, []byte("```"))
	if !ok {
		return data
	}
	_, rest, _ = bytes.Cut(rest, []byte("\n"))
	return bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("```")))
}

// result returns a run's result, or what is wrong with the answer for the model
// to mend, or an error that ends the run.
func (a answerer) result(r *Response) (result *schemas.Payload, problem, err error) {
	switch {
	case r.Refusal != "":
		return nil, nil, durable.Fail(ErrRefused.Code, "the model declined: %s", r.Refusal)
	case r.FinishReason == "content_filter":
		return nil, nil, durable.Fail(ErrRefused.Code, "the provider's filter withheld the answer; change the message or the instructions")
	case r.FinishReason == "length":
		return nil, errors.New("it was cut short at the limit of tokens: be brief"), nil
	}
	result, problem = a.read(r.Message.Content)
	return result, problem, nil
}
