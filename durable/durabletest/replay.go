package durabletest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Replay makes exported journals happen to the code of kinds, without executing a
// step, and fails t where the code asks for something else than was recorded: the
// runs that they are of would stop as nondeterministic if the code was deployed.
// pattern names files as [filepath.Glob] does; each is a subtest. They are written
// by 'perdure export REF', or by [World.Export]. It fails if there is none.
//
//	func TestDeployedRunsGoOn(t *testing.T) {
//		durabletest.Replay(t, "testdata/journals/*.json", durable.Workflow(Fulfil, fulfil))
//	}
func Replay(t *testing.T, pattern string, kinds ...*durable.Kind) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatalf("durabletest: the pattern %q: %v", pattern, err)
	}
	if len(files) == 0 {
		t.Fatalf("durabletest: no file matches %q; write one with 'perdure export REF'", pattern)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err == nil {
				err = Check(data, kinds...)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// Check is [Replay] of one exported journal. The error matches
// [durable.ErrNondeterministic] where the code does not agree with it, and says
// which step was recorded and what the code asks for; [durable.ErrNotFound] where
// none of kinds is that of the journal, and [durable.ErrInvalid] for what is no
// journal of an open run.
func Check(journal []byte, kinds ...*durable.Kind) error {
	return runtime.ReplayJSON(journal, kinds...)
}

// Export returns the journal of a run of the world, as 'perdure export' does of a
// node's. The error matches [durable.ErrConflict] for a run that is over.
func (w *World) Export(run string) ([]byte, error) {
	ref, err := schemas.ParseRef(run)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "export: %v", err)
	}
	e := runtime.Export{Namespace: runtimeNamespace, Ref: ref}
	if e.Entries, err = w.engine.Journal.Load(w.ctx, ref); err != nil {
		return nil, err
	}
	if k := w.engine.Kind(ref.Kind); k != nil && k.Stateful {
		v, _, err := w.engine.States.Get(w.ctx, ref.Identity)
		if err != nil {
			return nil, err
		}
		e.State = v.GetValue()
	}
	if err := e.Open(); err != nil {
		return nil, err
	}
	return json.MarshalIndent(e, "", " ")
}

// runtimeNamespace is that of the processes of a world.
const runtimeNamespace = "test"
