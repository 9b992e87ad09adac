package agents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"reflect"
	"strings"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// An Input is what an agent is told: the user's message, and files beside it.
//
//	var Read = durable.Declare[agents.Input, string]("read")
type Input struct {
	Message string `json:"message"` // may be empty where there are files
	Files   []File `json:"files,omitempty"`
}

// maxFiles bounds the files of an input, in bytes: what providers take in a request.
const maxFiles = 32 << 20

// reader returns how an agent of In reads its input: as the user's message.
func reader[In any]() (func(*schemas.Payload) (Message, error), error) {
	switch t := reflect.TypeFor[In](); {
	case t == reflect.TypeFor[durable.None]():
		return nil, durable.Fail(durable.ErrInvalid.Code, "its input is durable.None, and a model needs a message; declare it with string")
	case isMessage[In]():
		return readInput, nil
	}
	return func(p *schemas.Payload) (Message, error) {
		in, err := durable.Decode[In](p)
		if err != nil {
			return Message{}, err
		}
		data, err := json.Marshal(in)
		if err != nil {
			return Message{}, durable.Fail(durable.ErrInvalid.Code, "the input cannot be given to the model as JSON: %v", err)
		}
		return Message{Role: RoleUser, Content: string(data)}, nil
	}, nil
}

// isMessage reports whether an In is the user's message, a text, or has it.
func isMessage[In any]() bool {
	t := reflect.TypeFor[In]()
	return t.Kind() == reflect.String || t == reflect.TypeFor[json.RawMessage]() || t == reflect.TypeFor[Input]()
}

// readInput reads a JSON string, or an [Input] as an object, which leaves room for
// options beside it.
func readInput(p *schemas.Payload) (Message, error) {
	text, err := durable.Decode[string](p)
	if err == nil {
		return userMessage(text, nil)
	}
	if data := bytes.TrimSpace(p.GetData()); len(data) == 0 || data[0] != '{' {
		return Message{}, notTold(p)
	}
	in, err := durable.Decode[struct {
		Message *string `json:"message"`
		Files   []File  `json:"files"`
	}](p)
	switch {
	case err != nil:
		return Message{}, durable.Fail(durable.ErrInvalid.Code, `an agent takes {"message": "...", "files": [{"name", "media_type", "data" or "url"}]}, with data in base64: %v`, err)
	case in.Message != nil:
		return userMessage(*in.Message, in.Files)
	case len(in.Files) == 0:
		return Message{}, notTold(p)
	}
	return userMessage("", in.Files)
}

func userMessage(text string, files []File) (Message, error) {
	if text == "" && len(files) == 0 {
		return Message{}, durable.Fail(durable.ErrInvalid.Code, "the message is empty; say what the agent is to do")
	}
	return Message{Role: RoleUser, Content: text, Files: files}, checkFiles(files)
}

func notTold(p *schemas.Payload) error {
	return durable.Fail(durable.ErrInvalid.Code, `an agent takes the user's message: send a JSON string, or {"message": "..."}, not %.80q`, p.GetData())
}

// checkFiles returns what is wrong with the files of an input.
func checkFiles(files []File) error {
	size := 0
	for i, f := range files {
		what := fmt.Sprintf("file %d", i+1)
		if f.Name != "" {
			what += fmt.Sprintf(" (%.80q)", f.Name)
		}
		bad := func(format string, args ...any) error {
			return durable.Fail(durable.ErrInvalid.Code, what+" "+format, args...)
		}
		u, urlErr := url.Parse(f.URL)
		_, _, typeErr := mime.ParseMediaType(f.MediaType)
		switch {
		case f.MediaType == "":
			return bad("has no media_type; give one, e.g. image/png")
		case typeErr != nil || !strings.Contains(f.MediaType, "/"):
			return bad("has the media_type %.80q; give one such as image/png", f.MediaType)
		case len(f.Data) > 0 && f.URL != "":
			return bad("has data and a url; give one of them")
		case len(f.Data) == 0 && f.URL == "":
			return bad("is empty; give its data, or a url where the provider finds it")
		case f.URL != "" && (urlErr != nil || u.Scheme == "" || u.Host == ""):
			return bad("has the url %.80q; give one such as https://example.com/a.png, or its data", f.URL)
		}
		size += len(f.Data)
	}
	if size > maxFiles {
		return durable.Fail(durable.ErrTooLarge.Code, "the files have %d bytes; an agent takes %d: store them elsewhere and give their urls", size, maxFiles)
	}
	return nil
}
