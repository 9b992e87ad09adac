package mcp

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/durable"
)

// maxError is how long the message of a tool's error may be: a journal keeps no longer
// ones whole.
const maxError = 8 << 10

// maxWhole is how much of a result is recorded, in bytes.
const maxWhole = 16 << 20

// result is what the model is given of a result: a structured one if the tool has an output
// schema, otherwise its texts; of images and the like that they are there.
func (s *server) result(r *sdk.CallToolResult, structured bool) (json.RawMessage, error) {
	var texts, others []string
	var parts []string
	for _, c := range r.Content {
		text, isText := describe(c)
		if parts = append(parts, text); isText {
			texts = append(texts, text)
		} else {
			others = append(others, text)
		}
	}
	whole := strings.Join(parts, "\n")
	if r.IsError {
		if whole == "" {
			whole = "the tool failed and does not say why"
		}
		return nil, durable.Fail(ErrTool.Code, "%s", cut(whole, min(maxError, s.maxResult)))
	}
	if r.StructuredContent != nil && (structured || len(parts) == 0) {
		data, err := structuredText(r.StructuredContent, texts)
		if err != nil {
			return nil, durable.Fail(ErrTool.Code, "the tool's structured result cannot be read: %v", err)
		}
		if len(others) == 0 && len(data) <= maxWhole {
			return data, nil
		}
		whole = strings.Join(append([]string{string(data)}, others...), "\n")
	}
	return json.Marshal(cut(whole, maxWhole))
}

// structuredText returns a structured result as JSON: as the tool wrote it where it did so
// in its text too, since long numbers are rounded otherwise.
func structuredText(v any, texts []string) (json.RawMessage, error) {
	data, err := json.Marshal(v)
	if err != nil || len(texts) != 1 {
		return data, err
	}
	var structured, written any
	if json.Unmarshal(data, &structured) == nil && json.Unmarshal([]byte(texts[0]), &written) == nil && reflect.DeepEqual(structured, written) {
		return json.RawMessage(texts[0]), nil
	}
	return data, nil
}

// describe returns what the model is given of a part of a result.
func describe(c sdk.Content) (text string, isText bool) {
	switch c := c.(type) {
	case *sdk.TextContent:
		return c.Text, true
	case *sdk.ImageContent:
		return fmt.Sprintf("[an image, %s, %d bytes, not shown]", c.MIMEType, len(c.Data)), false
	case *sdk.AudioContent:
		return fmt.Sprintf("[a recording, %s, %d bytes, not played]", c.MIMEType, len(c.Data)), false
	case *sdk.ResourceLink:
		about := []string{"a link to " + c.URI}
		for _, what := range []string{c.Name, c.Description, c.MIMEType} {
			if what != "" {
				about = append(about, what)
			}
		}
		if c.Size != nil {
			about = append(about, fmt.Sprintf("%d bytes", *c.Size))
		}
		return "[" + strings.Join(about, ", ") + "]", false
	case *sdk.EmbeddedResource:
		r := c.Resource
		if r == nil {
			return "[an empty resource]", false
		}
		about := r.URI
		if r.MIMEType != "" {
			about += ", " + r.MIMEType
		}
		if len(r.Blob) > 0 {
			return fmt.Sprintf("[a resource, %s, %d bytes, not shown]", about, len(r.Blob)), false
		}
		return fmt.Sprintf("[a resource, %s, %d bytes:]\n%s", about, len(r.Text), r.Text), false
	}
	return fmt.Sprintf("[something of the kind %T, not shown]", c), false
}

// cut returns text, or so much of its beginning, with what is left out.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s\n[cut here: %d of %d bytes are left out; ask for less at once]", text[:end], len(text)-end, len(text))
}
