package runtime

import (
	"context"
	"encoding/json"

	"github.com/perdure/perdure/schemas"
)

// A Description is what others are told of a kind that live nodes host.
type Description struct {
	Kind    schemas.Kind
	Type    string   // as of [Kind]
	Methods []string // by name
	Pool    string
	// Text and Labels are as its kind says, and Input is the JSON Schema of its input; nil:
	// it does not say.
	Text   string
	Labels []string
	Input  json.RawMessage
}

// A Directory returns the kinds that live nodes of all pools host now, by name.
type Directory func(ctx context.Context) ([]Description, error)

type directoryKey struct{}

// WithDirectory gives a kind that is opened ([Kind.Open]) the directory of its node.
func WithDirectory(ctx context.Context, d Directory) context.Context {
	return context.WithValue(ctx, directoryKey{}, d)
}

// DirectoryOf returns the directory of the node that opens a kind; nil: it has none.
func DirectoryOf(ctx context.Context) Directory {
	d, _ := ctx.Value(directoryKey{}).(Directory)
	return d
}
