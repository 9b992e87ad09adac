package openapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/perdure/perdure/agents"
)

// An operation is what a tool calls.
type operation struct {
	id, name     string // the document's, and the model's
	description  string
	method, path string
	server       *url.URL
	parameters   []parameter
	body         *body
	schema       json.RawMessage // of the arguments
	keyed        bool            // it has a parameter for the idempotency key
}

// A parameter is a part of the request that is not its body.
type parameter struct {
	argument string // what the model calls it
	name, in string
	style    string
	explode  bool
	reserved bool // is sent as it is
	json     bool // is sent as JSON
	required bool
}

// A body is the one of a request.
type body struct {
	mediaType string
	form      bool
	// One of them: the properties, which are arguments, or the argument that is all of it.
	properties []string
	argument   string
	required   bool
}

// safe reports whether HTTP itself says that the operation does the same however often it
// is called.
func (o *operation) safe() bool { return o.method != http.MethodPost && o.method != http.MethodPatch }

// An unsupportedError is an operation that there is no tool of.
type unsupportedError struct{ what string }

func (e *unsupportedError) Error() string { return e.what }

func unsupported(format string, args ...any) error {
	return &unsupportedError{fmt.Sprintf(format, args...)}
}

// operation reads an operation of a document.
func (a *api) operation(doc *openapi3.T, path string, item *openapi3.PathItem, method string, op *openapi3.Operation) (*operation, error) {
	o := &operation{method: method, path: path}
	var about []string
	for _, text := range []string{cmp.Or(op.Summary, item.Summary), cmp.Or(op.Description, item.Description)} {
		if text = strings.TrimSpace(text); text != "" && !slices.Contains(about, text) {
			about = append(about, text)
		}
	}
	if len(about) == 0 {
		about = append(about, method+" "+path)
	}
	if op.Deprecated {
		about = append(about, "It is deprecated: use another one if you can.")
	}
	o.description = strings.Join(about, "\n\n")
	var err error
	if o.server, err = a.serverOf(doc, item, op); err != nil {
		return nil, err
	}
	c := &converter{doc: doc, defs: map[string]any{}}
	properties := map[string]any{}
	var required []string
	for _, p := range merged(item.Parameters, op.Parameters) {
		q, schema, err := o.parameter(c, p)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		if q == nil {
			continue
		}
		q.argument = p.Name
		if _, taken := properties[q.argument]; taken {
			q.argument = p.In + "_" + p.Name
		}
		properties[q.argument] = schema
		if q.required {
			required = append(required, q.argument)
		}
		o.parameters = append(o.parameters, *q)
	}
	if op.RequestBody != nil && op.RequestBody.Value != nil {
		of, err := o.readBody(c, op.RequestBody.Value, properties)
		if err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
		required = append(required, of...)
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	o.schema, err = c.object(properties, required)
	return o, err
}

// merged returns the parameters of an operation and, where it has none of that name, of
// its path.
func merged(ofPath, ofOperation openapi3.Parameters) (all []*openapi3.Parameter) {
	seen := map[string]bool{}
	for _, ref := range slices.Concat(ofOperation, ofPath) {
		if p := ref.Value; p != nil && !seen[p.In+" "+p.Name] {
			seen[p.In+" "+p.Name] = true
			all = append(all, p)
		}
	}
	return all
}

// complete reports what of the path there is no parameter for.
func (o *operation) complete() error {
	rest := o.path
	for {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			return nil
		}
		name, after, ok := strings.Cut(after, "}")
		if !ok || !slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.in == "path" && p.name == name }) {
			return fmt.Errorf("its path has {%.50s}, and there is no such parameter", name)
		}
		rest = after
	}
}

// parameter reads a parameter; nil: the model does not set it.
func (o *operation) parameter(c *converter, p *openapi3.Parameter) (*parameter, any, error) {
	if p.In == "header" {
		switch http.CanonicalHeaderKey(p.Name) {
		case agents.IdempotencyHeader:
			o.keyed = true
			return nil, nil, nil
		case "Accept", "Content-Type", "Authorization": // as OpenAPI says
			return nil, nil, nil
		}
	}
	q := &parameter{name: p.Name, in: p.In, required: p.Required || p.In == "path", reserved: p.AllowReserved}
	ref := p.Schema
	if len(p.Content) > 0 {
		for name, media := range p.Content {
			if !isJSON(name) || media == nil {
				return nil, nil, unsupported("it is sent as %s", name)
			}
			ref, q.json = media.Schema, true
		}
	} else {
		m, err := p.SerializationMethod()
		if err != nil {
			return nil, nil, err
		}
		q.style, q.explode = m.Style, m.Explode
		known := map[string][]string{
			"path": {"simple"}, "header": {"simple"}, "cookie": {"form"},
			"query": {"form", "spaceDelimited", "pipeDelimited", "deepObject"},
		}
		if !slices.Contains(known[p.In], q.style) {
			return nil, nil, unsupported("it is sent in the %s in the style %q", p.In, q.style)
		}
	}
	schema, err := c.schema(ref)
	if err != nil {
		return nil, nil, err
	}
	return q, described(schema, p.Description), nil
}

// described adds a description to a schema that has none.
func described(schema any, text string) any {
	m, ok := schema.(map[string]any)
	if !ok || text == "" || m["description"] != nil {
		return schema
	}
	m["description"] = text
	return m
}

func isJSON(mediaType string) bool {
	t, _, err := mime.ParseMediaType(mediaType)
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

// mediaTypeOf chooses what a body is sent as.
func mediaTypeOf(content openapi3.Content) string {
	names := slices.Sorted(maps.Keys(content))
	for _, good := range []func(string) bool{
		func(t string) bool { return strings.HasPrefix(t, "application/json") },
		isJSON,
		func(t string) bool { return t == "application/x-www-form-urlencoded" },
		func(t string) bool { return strings.HasPrefix(t, "text/") },
		func(t string) bool { return t == "*/*" || t == "application/*" },
	} {
		if i := slices.IndexFunc(names, good); i >= 0 {
			return names[i]
		}
	}
	return ""
}

// readBody reads the body and adds its arguments to properties. It returns those that are
// required.
func (o *operation) readBody(c *converter, of *openapi3.RequestBody, properties map[string]any) ([]string, error) {
	name := mediaTypeOf(of.Content)
	if name == "" {
		return nil, unsupported("it is sent as %s", strings.Join(slices.Sorted(maps.Keys(of.Content)), ", "))
	}
	b := &body{mediaType: name, form: name == "application/x-www-form-urlencoded", required: of.Required}
	if strings.Contains(name, "*") {
		b.mediaType = "application/json"
	}
	o.body = b
	var ref *openapi3.SchemaRef
	if media := of.Content[name]; media != nil {
		ref = media.Schema
	}
	schema, err := c.schema(ref)
	if err != nil {
		return nil, err
	}
	if props, required, ok := c.plain(schema); ok && of.Required && !strings.HasPrefix(name, "text/") && disjoint(props, properties) {
		maps.Copy(properties, props)
		b.properties = slices.Sorted(maps.Keys(props))
		return required, nil
	}
	if b.form {
		if _, _, ok := c.plain(schema); !ok {
			return nil, unsupported("it is a form whose fields are not named")
		}
	}
	if strings.HasPrefix(name, "text/") {
		schema = map[string]any{"type": "string"}
	}
	b.argument = "body"
	if _, taken := properties[b.argument]; taken {
		b.argument = "request_body"
	}
	properties[b.argument] = described(schema, of.Description)
	if of.Required {
		return []string{b.argument}, nil
	}
	return nil, nil
}

// plain returns the properties of a schema that is an object of them and nothing else.
func (c *converter) plain(schema any) (properties map[string]any, required []string, ok bool) {
	m, _ := schema.(map[string]any)
	if ref, is := m["$ref"].(string); is && len(m) == 1 {
		m, _ = c.defs[strings.TrimPrefix(ref, definitionRef)].(map[string]any)
	}
	if m["type"] != "object" {
		return nil, nil, false
	}
	for k, v := range m {
		switch k {
		case "type", "properties", "required", "title", "description":
		case "additionalProperties":
			if v != false {
				return nil, nil, false
			}
		default:
			return nil, nil, false
		}
	}
	properties, _ = m["properties"].(map[string]any)
	list, _ := m["required"].([]any)
	for _, r := range list {
		name, is := r.(string)
		if _, has := properties[name]; !is || !has {
			return nil, nil, false
		}
		required = append(required, name)
	}
	return maps.Clone(properties), required, len(properties) > 0
}

func disjoint(a, b map[string]any) bool {
	for k := range a {
		if _, ok := b[k]; ok {
			return false
		}
	}
	return true
}

// serverOf returns where the requests of an operation go.
func (a *api) serverOf(doc *openapi3.T, item *openapi3.PathItem, op *openapi3.Operation) (*url.URL, error) {
	address := a.base
	if address == "" {
		servers := doc.Servers
		if len(item.Servers) > 0 {
			servers = item.Servers
		}
		if op.Servers != nil && len(*op.Servers) > 0 {
			servers = *op.Servers
		}
		if len(servers) > 0 && servers[0] != nil {
			address = servers[0].URL
			for name, v := range servers[0].Variables {
				if v != nil {
					address = strings.ReplaceAll(address, "{"+name+"}", v.Default)
				}
			}
		}
	}
	u, err := url.Parse(address)
	if err == nil && a.source.url != "" {
		var at *url.URL
		if at, err = url.Parse(a.source.url); err == nil {
			u = at.ResolveReference(u)
		}
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("requests would go to %q; say by Server where they go, e.g. https://example.com/v1", address)
	}
	u.RawQuery, u.Fragment = "", ""
	return u, nil
}

var errNoBody = errors.New("the operation needs a body")
