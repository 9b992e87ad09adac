package runtime

import (
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/perdure/perdure/schemas"
	"pgregory.net/rapid"
)

// TestP22_DerivedIDIsFixed: what a run derived once it derives for ever.
func TestP22_DerivedIDIsFixed(t *testing.T) {
	ref := schemas.Identity{Kind: "weather", Key: "amsterdam"}.Run("order-17")
	const want = "v68gbnehd9epp588cbfhwsk8vc"
	if got := DeriveID("perdure", ref, "message", "7.1"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestP22_DerivedIDDiffersWhereAnythingDiffers: two places of runs have the
// same ID only if they are the same place.
func TestP22_DerivedIDDiffersWhereAnythingDiffers(t *testing.T) {
	part := rapid.SampledFrom([]string{"", "a", "b", "ab", "a/b", "7", "7.1"})
	type place struct{ namespace, kind, key, id, purpose, path string }
	places := rapid.Custom(func(t *rapid.T) place {
		return place{part.Draw(t, "namespace"), part.Draw(t, "kind"), part.Draw(t, "key"), part.Draw(t, "id"), part.Draw(t, "purpose"), part.Draw(t, "path")}
	})
	derive := func(p place) string {
		return DeriveID(p.namespace, schemas.Identity{Kind: schemas.Kind(p.kind), Key: p.key}.Run(schemas.RunID(p.id)), p.purpose, p.path)
	}
	form := regexp.MustCompile(`^[0-9a-z]{26}$`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := places.Draw(t, "a"), places.Draw(t, "b")
		if (derive(a) == derive(b)) != (a == b) || !form.MatchString(derive(a)) {
			t.Fatalf("%+v: %s; %+v: %s", a, derive(a), b, derive(b))
		}
	})
}

// TestTaskOfAForkDiffersByWhatItForks; and it is the task of a run that an earlier build
// began, whose hash is that of its input alone.
func TestTaskOfAForkDiffersByWhatItForks(t *testing.T) {
	task := func(f *schemas.Fork) *schemas.Envelope {
		return &schemas.Envelope{Type: schemas.Envelope_TASK, Method: "m", Payload: &schemas.Payload{Data: []byte("1")}, Fork: f}
	}
	result := func(s string) []*schemas.ForkResult {
		return []*schemas.ForkResult{{Path: "1", Result: &schemas.Payload{Data: []byte(s)}}}
	}
	all := []*schemas.Fork{
		{Run: "a/b/c"},
		{Run: "a/b/d"},
		{Run: "a/b/c", Step: "1"},
		{Run: "a/b/c", Step: "2"},
		{Run: "a/b/c", Uncancelled: true},
		{Run: "a/b/c", Build: "v2"},
		{Run: "a/b/c", Generation: 1},
		{Run: "a/b/c", Results: result("1")},
		{Run: "a/b/c", Results: result("2")},
	}
	plain := HashInput(task(nil))
	for i, f := range all {
		for j, other := range all {
			if same := SameTask(task(f), HashInput(task(other))); same != (i == j) {
				t.Errorf("the forks %v and %v: the same %v", f, other, same)
			}
		}
		if !SameTask(task(f), plain) || SameTask(task(nil), HashInput(task(f))) {
			t.Errorf("the fork %v is not the task of a run that an earlier build began, or a task without a fork is", f)
		}
	}
}

// TestErrorIsTheSameAfterItWasRecorded: code, message, details, finality, and
// what errors.Is matches.
func TestErrorIsTheSameAfterItWasRecorded(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Error
	}{
		"sentinel":    {ErrTimeout, Error{Code: "timeout", Final: true}},
		"wrapped":     {fmt.Errorf("ask the model: %w", ErrTimeout), Error{Code: "timeout", Message: "ask the model: timeout", Final: true}},
		"with a text": {Errorf("sold_out", "%d left", 3), Error{Code: "sold_out", Message: "3 left", Final: true}},
		"details":     {fmt.Errorf("wrapped: %w", &Error{Code: "panic", Message: "boom", Details: "stack"}), Error{Code: "panic", Message: "wrapped: boom", Details: "stack"}},
		"somebody's":  {errors.New("no"), Error{Code: "error", Message: "no"}},
		"joined":      {errors.Join(errors.New("no"), ErrDenied), Error{Code: "denied", Message: "no\ndenied", Final: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got := DecodeError(EncodeError(c.err))
			var e *Error
			if !errors.As(got, &e) || *e != c.want {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
			again := DecodeError(EncodeError(got))
			if errors.As(again, &e); *e != c.want {
				t.Errorf("recorded again: %+v, want %+v", e, c.want)
			}
			if !errors.Is(got, &c.want) || errors.Is(got, ErrFenced) {
				t.Error("errors.Is compares something else than the code")
			}
		})
	}
	if DecodeError(EncodeError(nil)) != nil {
		t.Error("no error is an error")
	}
}

// TestRandomNumbersAreOneSequencePerBranch: contexts that are derived from one
// another go on with it.
func TestRandomNumbersAreOneSequencePerBranch(t *testing.T) {
	numbers := func() (got [4]uint64) {
		k := &Kind{Name: "shop", Methods: map[string]Method{"": {Handler: func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
			d, _ := c.WithCancel()
			got[0], got[1] = c.Rand().Uint64(), d.Rand().Uint64()
			f := c.Go("branch", func(c *Context) (any, error) {
				got[2] = c.Rand().Uint64()
				return nil, nil
			})
			got[3] = c.Group().Rand().Uint64()
			_, err := c.Wait(f)
			return nil, err
		}}}}
		r := newRun(schemas.Identity{Kind: "shop", Key: "a"}.Run("1"), k, "test", nil, discard())
		defer r.drop()
		if err := applyEntry(r, 1, (&Executor{cfg: &Config{}}).newEntry(&schemas.Event{Kind: &schemas.Event_Started{Started: &schemas.Started{}}})); err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := numbers()
	seen := map[uint64]bool{}
	for _, n := range first {
		seen[n] = true
	}
	if len(seen) != len(first) {
		t.Errorf("%v: two are the same", first)
	}
	if again := numbers(); again != first {
		t.Errorf("replayed %v, first %v", again, first)
	}
}
