package openapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/perdure/perdure/agents/internal/far"
)

// A Source is where a document is: [Data], [File] or [URL].
type Source struct {
	data []byte
	file string
	url  string
}

// Data is a document, as JSON or YAML.
func Data(document []byte) Source { return Source{data: document} }

// File is a document in a file, which may refer to others beside it and below.
func File(path string) Source { return Source{file: path} }

// URL is a document that is read when a node is opened; the node is not opened if that
// fails. It refers to no other document.
func URL(address string) Source { return Source{url: address} }

// String returns where it is, for messages: a URL without its password.
func (s Source) String() string {
	switch {
	case s.file != "":
		return s.file
	case s.url != "":
		if u, err := url.Parse(s.url); err == nil {
			return u.Redacted()
		}
		return "a URL"
	}
	return "the document"
}

// maxDocument bounds a document, in bytes.
const maxDocument = 32 << 20

// read returns the document.
func (s Source) read(ctx context.Context, client *http.Client) (*openapi3.T, error) {
	loader := openapi3.NewLoader()
	loader.Context = ctx
	switch {
	case s.file != "":
		path, err := filepath.Abs(s.file)
		if err != nil {
			return nil, err
		}
		root, err := os.OpenRoot(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		defer root.Close()
		loader.ReadFromURIFunc = func(_ *openapi3.Loader, at *url.URL) ([]byte, error) {
			if at.Scheme != "" && at.Scheme != "file" || at.Host != "" {
				return nil, fmt.Errorf("it refers to %s; it may refer to files beside it and below", at.Redacted())
			}
			rel, err := filepath.Rel(root.Name(), filepath.FromSlash(at.Path))
			if err != nil {
				return nil, err
			}
			return root.ReadFile(rel)
		}
		return loader.LoadFromURI(&url.URL{Path: filepath.ToSlash(path)})
	case s.url != "":
		data, err := fetch(ctx, client, s.url)
		if err != nil {
			return nil, err
		}
		return loader.LoadFromData(data)
	}
	return loader.LoadFromData(s.data)
}

func fetch(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s; is this the address of the document?", resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("it has more than %d bytes", maxDocument)
	}
	return data, err
}

// load reads the document and selects operations.
func (a *api) load(ctx context.Context) ([]*operation, error) {
	doc, err := a.source.read(ctx, a.client)
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.") {
		return nil, fmt.Errorf("it is no OpenAPI document of version 3: openapi is %.20q", doc.OpenAPI)
	}
	doc.InternalizeRefs(ctx, nil)
	var ops []*operation
	found, names := map[string]bool{}, map[string]string{}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		item := doc.Paths.Value(path)
		methods := item.Operations()
		for _, method := range slices.Sorted(maps.Keys(methods)) {
			op := methods[method]
			id := cmp.Or(op.OperationID, method+" "+path)
			found[id] = true
			if !a.selects(id, op.Tags) {
				continue
			}
			o, err := a.operation(doc, path, item, method, op)
			var not *unsupportedError
			switch {
			case errors.As(err, &not) && !slices.Contains(a.only, id): // the others are of use without it
				continue
			case err != nil:
				return nil, fmt.Errorf("operation %s: %w", id, err)
			}
			o.id = id
			if o.name = a.renamed[id]; o.name == "" {
				o.name = far.ToolName(a.prefix, plain(id))
			}
			if other, ok := names[o.name]; ok {
				return nil, fmt.Errorf("operations %q and %q both have the name %q; rename one of them", other, id, o.name)
			}
			names[o.name] = id
			ops = append(ops, o)
		}
	}
	if err := a.unfound(found); err != nil {
		return nil, err
	}
	if len(ops) == 0 {
		return nil, fmt.Errorf("none of its operations is selected, or can be a tool; it has %s", some(found))
	}
	return ops, nil
}

// plain returns the ID of an operation without what names of tools do not have: the slashes
// and braces of a path would be many underscores.
func plain(id string) string {
	method, path, ok := strings.Cut(id, " /")
	if !ok {
		return id
	}
	parts := strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/{}.:,;=", r) })
	return strings.Join(append([]string{strings.ToLower(method)}, parts...), "_")
}

// unfound returns an error if an option names an operation that there is not.
func (a *api) unfound(found map[string]bool) error {
	named := slices.Concat(a.only, a.without, slices.Collect(maps.Keys(a.renamed)), slices.Collect(maps.Keys(a.stepsOf)))
	slices.Sort(named)
	for _, id := range named {
		if !found[id] {
			return fmt.Errorf("there is no operation %q in it; it has %s", id, some(found))
		}
	}
	return nil
}

// some returns names for a message.
func some(found map[string]bool) string {
	names := slices.Sorted(maps.Keys(found))
	if len(names) > 20 {
		return strings.Join(names[:20], ", ") + fmt.Sprintf(" and %d more", len(names)-20)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
