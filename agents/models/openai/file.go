package openai

import (
	"encoding/base64"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

const pdf = "application/pdf"

// checkFiles returns what is wrong with the files of a message.
func checkFiles(m agents.Message) error {
	if len(m.Files) > 0 && m.Role != agents.RoleUser {
		return durable.Fail(durable.ErrInvalid.Code, "a message of role %q has files; give them in a user's message", m.Role)
	}
	for _, f := range m.Files {
		switch {
		case f.MediaType == "":
			return durable.Fail(durable.ErrInvalid.Code, "file %q has no media type; give one, e.g. image/png", f.Name)
		case len(f.Data) == 0 && f.URL == "":
			return durable.Fail(durable.ErrInvalid.Code, "file %q is empty; give its data or its URL", f.Name)
		}
	}
	return nil
}

func isImage(f agents.File) bool { return strings.HasPrefix(f.MediaType, "image/") }

// location returns where a file is: its URL, or its bytes as one.
func location(f agents.File) string {
	if len(f.Data) == 0 {
		return f.URL
	}
	return "data:" + f.MediaType + ";base64," + base64.StdEncoding.EncodeToString(f.Data)
}

// nameOf returns a file's name; the API wants one.
func nameOf(f agents.File) string {
	switch {
	case f.Name != "":
		return f.Name
	case f.MediaType == pdf:
		return "document.pdf"
	}
	return "document"
}

// parts returns a user's message with files in the form of Chat Completions.
func parts(m agents.Message) ([]openai.ChatCompletionContentPartUnionParam, error) {
	var out []openai.ChatCompletionContentPartUnionParam
	for _, f := range m.Files {
		switch {
		case isImage(f):
			out = append(out, openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: location(f)}))
		case f.MediaType != pdf:
			return nil, durable.Fail(durable.ErrInvalid.Code, "file %q is of type %s; Chat Completions takes images and PDFs: put the text of others into the message", f.Name, f.MediaType)
		case len(f.Data) == 0:
			return nil, durable.Fail(durable.ErrInvalid.Code, "file %q is a PDF at a URL; Chat Completions takes its bytes alone: give its data", f.Name)
		default:
			out = append(out, openai.FileContentPart(openai.ChatCompletionContentPartFileFileParam{
				Filename: param.NewOpt(nameOf(f)), FileData: param.NewOpt(location(f)),
			}))
		}
	}
	if m.Content != "" {
		out = append(out, openai.TextContentPart(m.Content))
	}
	return out, nil
}
