package runtime

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/encoding/protojson"
)

// An Export is the journal of a run that is not over, with what its replay needs
// besides: whoever changes the code of the run can see before the deployment
// whether they agree.
type Export struct {
	Namespace string
	Ref       schemas.Ref
	State     *schemas.Payload // of the identity, as the run found it; nil for none
	Entries   []schemas.Stored
}

// exportFile is the form of an [Export] in a file: JSON, in protobuf's mapping
// where it is protobuf.
type exportFile struct {
	Namespace string            `json:"namespace"`
	Run       string            `json:"run"`
	State     json.RawMessage   `json:"state,omitempty"`
	Entries   []exportFileEntry `json:"entries"`
}

type exportFileEntry struct {
	Seq   uint64          `json:"seq"`
	Entry json.RawMessage `json:"entry"`
}

// MarshalJSON writes the form that is kept in files.
func (e Export) MarshalJSON() ([]byte, error) {
	f := exportFile{Namespace: e.Namespace, Run: e.Ref.String()}
	var err error
	if e.State != nil {
		if f.State, err = protojson.Marshal(e.State); err != nil {
			return nil, fmt.Errorf("export the state of %s: %w", e.Ref.Identity, err)
		}
	}
	for _, s := range e.Entries {
		data, err := protojson.Marshal(s.Entry)
		if err != nil {
			return nil, fmt.Errorf("export entry %d of %s: %w", s.Seq, e.Ref, err)
		}
		f.Entries = append(f.Entries, exportFileEntry{s.Seq, data})
	}
	return json.Marshal(f)
}

// UnmarshalJSON reads what MarshalJSON wrote. An event that this build does not
// know is an error.
func (e *Export) UnmarshalJSON(data []byte) error {
	var f exportFile
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("read an exported journal: %w", err)
	}
	ref, err := schemas.ParseRef(f.Run)
	if err != nil {
		return fmt.Errorf("read an exported journal: %w", err)
	}
	*e = Export{Namespace: f.Namespace, Ref: ref}
	if len(f.State) > 0 {
		e.State = &schemas.Payload{}
		if err := protojson.Unmarshal(f.State, e.State); err != nil {
			return fmt.Errorf("read the state of %s: %w", ref.Identity, err)
		}
	}
	for _, x := range f.Entries {
		entry := &schemas.Entry{}
		if err := protojson.Unmarshal(x.Entry, entry); err != nil {
			return fmt.Errorf("read entry %d of %s: %w; it was exported by a newer build", x.Seq, ref, err)
		}
		e.Entries = append(e.Entries, schemas.Stored{Seq: x.Seq, Ref: ref, Entry: entry})
	}
	return nil
}

// Open returns what is wrong with the journal of a run that is over, or never
// was: there is nothing to replay.
func (e Export) Open() error {
	switch n := len(e.Entries); {
	case n == 0:
		return Errorf(ErrNotFound.Code, "no run %s has a journal", e.Ref)
	case e.Entries[n-1].Entry.GetRecord() != nil:
		return Errorf(ErrConflict.Code, "%s is over: only its record is left; export runs that are open, or that failed, or whose kind has durable.KeepHistory", e.Ref)
	}
	return nil
}

// Replay makes an exported journal happen to the code of a kind: no store, no
// clock, no step is executed. The error says where the code asks for something
// else than was recorded; nil is agreement as far as the journal goes.
func Replay(kind *Kind, e Export) error {
	if err := e.Open(); err != nil {
		return Errorf(ErrInvalid.Code, "%v", err)
	}
	if kind.Name != e.Ref.Kind {
		return Errorf(ErrInvalid.Code, "replay %s with the code of %q: it is another kind", e.Ref, string(kind.Name))
	}
	if startedOf(e.Entries) == nil {
		return Errorf(ErrInvalid.Code, "replay %s: the journal does not begin with its start", e.Ref)
	}
	r := newRun(e.Ref, kind, e.Namespace, e.State, slog.New(slog.DiscardHandler))
	defer r.drop()
	return r.load(e.Entries)
}

// ReplayJSON is [Replay] of one exported journal in the form that is kept in files,
// with the code of whichever of kinds it is of. The error matches
// [ErrNondeterministic] where the code does not agree with it, [ErrNotFound] where
// none of kinds is its kind, and [ErrInvalid] for what is no journal of an open run.
func ReplayJSON(journal []byte, kinds ...*Kind) error {
	var e Export
	if err := json.Unmarshal(journal, &e); err != nil {
		return Errorf(ErrInvalid.Code, "%v", err)
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		if k.Name == e.Ref.Kind {
			if err := Replay(k, e); err != nil {
				return fmt.Errorf("replay %s: %w", e.Ref, err)
			}
			return nil
		}
		names[i] = string(k.Name)
	}
	return Errorf(ErrNotFound.Code, "replay %s: no kind %q is given, only %q", e.Ref, string(e.Ref.Kind), names)
}

// load makes the entries of a journal happen to the run.
func (r *run) load(entries []schemas.Stored) error {
	r.readAhead(entries)
	if err := r.forks(entries); err != nil {
		return err
	}
	for i, s := range entries {
		if r.replays = !onlyClaims(entries[i+1:]); !r.replays {
			r.loud = true // what the code says after the last recorded event is new
		}
		if err := applyEntry(r, s.Seq, s.Entry); err != nil {
			return err
		}
	}
	return nil
}
