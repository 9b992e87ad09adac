package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// A converter makes JSON Schemas of a document's schemas: each reference to a component
// becomes one to a definition beside it.
type converter struct {
	doc  *openapi3.T
	defs map[string]any // by the component's name
}

const (
	componentRef  = "#/components/schemas/"
	definitionRef = "#/$defs/"
)

// schema returns a schema for requests as JSON Schema.
func (c *converter) schema(ref *openapi3.SchemaRef) (any, error) {
	if ref == nil {
		return map[string]any{}, nil
	}
	data, err := json.Marshal(ref)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	return c.convert(v)
}

// convert converts what is a schema, or a boolean.
func (c *converter) convert(v any) (any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return v, nil
	}
	for _, k := range []string{"discriminator", "xml", "externalDocs", "example", "deprecated", "writeOnly"} {
		delete(m, k)
	}
	for k := range m {
		if strings.HasPrefix(k, "x-") {
			delete(m, k)
		}
	}
	if ref, ok := m["$ref"].(string); ok {
		to, err := c.define(ref)
		if err != nil {
			return nil, err
		}
		m["$ref"] = to
	}
	if err := c.properties(m); err != nil {
		return nil, err
	}
	for _, k := range []string{"items", "additionalProperties", "not", "contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties", "if", "then", "else"} {
		if err := c.replace(m, k); err != nil {
			return nil, err
		}
	}
	for _, k := range []string{"allOf", "anyOf", "oneOf", "prefixItems"} {
		list, _ := m[k].([]any)
		for i := range list {
			one, err := c.convert(list[i])
			if err != nil {
				return nil, err
			}
			list[i] = one
		}
	}
	for _, k := range []string{"patternProperties", "dependentSchemas", "$defs"} {
		all, _ := m[k].(map[string]any)
		for name := range all {
			if err := c.replace(all, name); err != nil {
				return nil, err
			}
		}
	}
	if c.doc.IsOpenAPI30() {
		modernize(m)
	}
	return m, nil
}

func (c *converter) replace(m map[string]any, key string) error {
	v, ok := m[key]
	if !ok {
		return nil
	}
	v, err := c.convert(v)
	m[key] = v
	return err
}

// properties converts those of an object, without what only answers have.
func (c *converter) properties(m map[string]any) error {
	props, _ := m["properties"].(map[string]any)
	required, _ := m["required"].([]any)
	for name := range props {
		if p, ok := props[name].(map[string]any); ok && p["readOnly"] == true {
			delete(props, name)
			required = slices.DeleteFunc(required, func(r any) bool { return r == name })
			continue
		}
		if err := c.replace(props, name); err != nil {
			return err
		}
	}
	if len(required) == 0 {
		delete(m, "required")
	} else {
		m["required"] = required
	}
	return nil
}

// modernize says in JSON Schema's words what OpenAPI 3.0 says in its own.
func modernize(m map[string]any) {
	if m["nullable"] == true {
		if t, ok := m["type"].(string); ok {
			m["type"] = []any{t, "null"}
			if enum, ok := m["enum"].([]any); ok && !slices.Contains(enum, nil) {
				m["enum"] = append(enum, nil)
			}
		}
	}
	delete(m, "nullable")
	for bound, exclusive := range map[string]string{"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"} {
		if yes, ok := m[exclusive].(bool); ok {
			delete(m, exclusive)
			if yes && m[bound] != nil {
				m[exclusive] = m[bound]
				delete(m, bound)
			}
		}
	}
}

// define makes a component a definition, and returns how it is referred to.
func (c *converter) define(ref string) (string, error) {
	name, ok := strings.CutPrefix(ref, componentRef)
	if !ok || strings.Contains(name, "/") {
		return "", fmt.Errorf("the reference %q is not to a schema among the document's components; put it there", ref)
	}
	if _, ok := c.defs[name]; ok {
		return definitionRef + name, nil
	}
	unescaped := strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	component := c.doc.Components.Schemas[unescaped]
	if component == nil {
		return "", fmt.Errorf("the reference %q is to nothing", ref)
	}
	c.defs[name] = true // also where it refers to itself
	s, err := c.schema(component)
	if err != nil {
		return "", err
	}
	c.defs[name] = s
	return definitionRef + name, nil
}

// object returns the schema of an operation's arguments.
func (c *converter) object(properties map[string]any, required []string) (json.RawMessage, error) {
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		slices.Sort(required)
		s["required"] = slices.Compact(required)
	}
	if len(c.defs) > 0 {
		defs := map[string]any{}
		for name, def := range maps.All(c.defs) {
			defs[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)] = def
		}
		s["$defs"] = defs
	}
	return json.Marshal(s)
}
