package openapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// request returns the request of a call.
func (o *operation) request(ctx context.Context, arguments map[string]any) (*http.Request, error) {
	path, query, cookies, header := o.path, []string{}, []*http.Cookie{}, http.Header{}
	for _, p := range o.parameters {
		v, ok := arguments[p.argument]
		if !ok || v == nil {
			if p.in == "path" {
				return nil, fmt.Errorf("%s is part of the path: give it", p.argument)
			}
			continue
		}
		switch p.in {
		case "path":
			text := p.simple(v, url.PathEscape)
			if text == "" || strings.Trim(text, ".") == "" { // the path would be another one
				return nil, fmt.Errorf("%s is part of the path: it cannot be %q", p.argument, text)
			}
			path = strings.ReplaceAll(path, "{"+p.name+"}", text)
		case "query":
			query = append(query, p.query(v)...)
		case "header":
			value := p.simple(v, func(s string) string { return s })
			if strings.ContainsFunc(value, unicode.IsControl) {
				return nil, fmt.Errorf("%s is a header: it cannot have control characters", p.argument)
			}
			header.Set(p.name, value)
		case "cookie":
			cookies = append(cookies, &http.Cookie{Name: p.name, Value: p.simple(v, url.QueryEscape)})
		}
	}
	data, err := o.body.encode(arguments)
	if err != nil {
		return nil, err
	}
	var reader io.Reader
	if data != nil {
		reader = bytes.NewReader(data)
	}
	target := strings.TrimSuffix(o.server.String(), "/") + path
	if len(query) > 0 {
		target += "?" + strings.Join(query, "&")
	}
	req, err := http.NewRequestWithContext(ctx, o.method, target, reader)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	for _, c := range cookies {
		req.AddCookie(c)
	}
	req.Header.Set("Accept", "application/json, text/*;q=0.9, */*;q=0.1")
	if data != nil {
		req.Header.Set("Content-Type", o.body.mediaType)
	}
	return req, nil
}

// text returns a value as it is written outside of JSON.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case nil:
		return ""
	}
	data, _ := json.Marshal(v) // it was JSON
	return string(data)
}

// simple returns a value in the style "simple".
func (p parameter) simple(v any, escape func(string) string) string {
	if p.json {
		return escape(text(v))
	}
	var parts []string
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			parts = append(parts, escape(text(e)))
		}
	case map[string]any:
		between := ","
		if p.explode {
			between = "="
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, escape(k)+between+escape(text(v[k])))
		}
	default:
		return escape(text(v))
	}
	return strings.Join(parts, ",")
}

// query returns the parts of a query that say a value.
func (p parameter) query(v any) (parts []string) {
	escape := url.QueryEscape
	if p.reserved {
		escape = func(s string) string { // as it is, but for what would end it
			return strings.NewReplacer("%", "%25", "&", "%26", "#", "%23", "+", "%2B", " ", "%20").Replace(s)
		}
	}
	pair := func(name, value string) { parts = append(parts, url.QueryEscape(name)+"="+value) }
	if p.json {
		pair(p.name, escape(text(v)))
		return parts
	}
	between := map[string]string{"spaceDelimited": "%20", "pipeDelimited": "%7C"}[p.style]
	if between == "" {
		between = ","
	}
	switch v := v.(type) {
	case []any:
		var all []string
		for _, e := range v {
			if p.explode {
				pair(p.name, escape(text(e)))
			}
			all = append(all, escape(text(e)))
		}
		if !p.explode && len(all) > 0 {
			pair(p.name, strings.Join(all, between))
		}
	case map[string]any:
		var all []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			switch {
			case p.style == "deepObject":
				pair(p.name+"["+k+"]", escape(text(v[k])))
			case p.explode:
				pair(k, escape(text(v[k])))
			default:
				all = append(all, escape(k), escape(text(v[k])))
			}
		}
		if len(all) > 0 {
			pair(p.name, strings.Join(all, between))
		}
	default:
		pair(p.name, escape(text(v)))
	}
	return parts
}

// encode returns the body of a call, nil for none.
func (b *body) encode(arguments map[string]any) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	var v any
	if b.argument != "" {
		var ok bool
		if v, ok = arguments[b.argument]; !ok {
			if b.required {
				return nil, errNoBody
			}
			return nil, nil
		}
	} else {
		all := map[string]any{}
		for _, name := range b.properties {
			if p, ok := arguments[name]; ok {
				all[name] = p
			}
		}
		v = all
	}
	switch {
	case b.form:
		form := url.Values{}
		fields, _ := v.(map[string]any)
		for name, f := range fields {
			list, ok := f.([]any)
			if !ok {
				list = []any{f}
			}
			for _, e := range list {
				form.Add(name, text(e))
			}
		}
		return []byte(form.Encode()), nil
	case strings.HasPrefix(b.mediaType, "text/"):
		return []byte(text(v)), nil
	}
	return json.Marshal(v)
}
