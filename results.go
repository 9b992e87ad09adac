package perdure

import (
	"context"
	"errors"
	"strings"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// maxShown is the largest result of a step that is shown whole, in bytes.
const maxShown = 4 << 10

// addResults adds to the steps of a run what its journal says that they came to: as
// much as fits into an answer beside the rest.
func (a *api) addResults(ctx context.Context, ref schemas.Ref, info *RunInfo) error {
	entries, err := actors.Entries(ctx, a.node.b, ref)
	if err != nil && !errors.Is(err, durable.ErrNotFound) {
		return err
	}
	results := map[string]*schemas.Payload{}
	journal := false
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			journal = true
			if c := e.GetStepCompleted(); c != nil {
				results[c.GetPath()] = c.GetResult()
			}
			if c := e.GetCallReturned(); c != nil {
				results[c.GetPath()] = c.GetResult()
			}
		}
	}
	switch {
	case journal:
	case info.Archived:
		info.NoResults = "the run is archived: its record is kept, and not the results of its steps"
	case actors.IsEndName(info.Status):
		info.NoResults = "the run is over, and its journal is not kept: a run that completes keeps it if its kind has durable.KeepHistory()"
	default:
		info.NoResults = "nothing of the run is recorded yet"
	}
	left := int(a.node.b.MaxMessage() / 2)
	for i := range info.Steps {
		step := &info.Steps[i]
		p := results[step.Path]
		if p == nil || step.Error != "" {
			continue
		}
		data, codec := actors.PayloadJSON(p)
		most := min(maxShown, left)
		if len(data) <= most {
			step.Result, step.ResultCodec = data, codec
			left -= len(data)
			continue
		}
		step.ResultCodec, step.ResultBytes = codec, len(data)
		step.Cut = strings.ToValidUTF8(string(data[:most]), "")
		left -= len(step.Cut)
	}
	return nil
}
