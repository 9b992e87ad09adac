package perdure

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// Export returns the journal of a run that is open, by its reference
// kind/key/id, as JSON: durabletest.Replay makes it happen to code that is not
// deployed yet, and says where they do not agree. It holds the run's input and
// the results of its steps. The error matches [durable.ErrNotFound] for a run that
// has no journal, and [durable.ErrConflict] for one that is over and whose journal is
// not kept.
func (c *Client) Export(ctx context.Context, run string) ([]byte, error) {
	ref, err := schemas.ParseRef(run)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "export: %v", err)
	}
	e, err := actors.Export(ctx, c.b, ref)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return json.MarshalIndent(e, "", " ")
}
