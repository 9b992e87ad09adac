package actors

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"pgregory.net/rapid"
)

// store appends an entry to a run, as whoever is last.
func (l listing) store(ref schemas.Ref, at int64, e *schemas.Entry) uint64 {
	l.t.Helper()
	head, _, err := l.b.Journal().Head(l.t.Context(), ref.Identity)
	if err != nil {
		l.t.Fatal(err)
	}
	e.Epoch, e.Nonce, e.Counter, e.At = 1, []byte("n"), head.Seq+1, at
	out, err := l.b.Journal().Append(l.t.Context(), ref, head.Seq, e)
	if err != nil || out.Fenced {
		l.t.Fatalf("append: %+v, %v", out, err)
	}
	return out.Seq
}

// A story is what happens to the runs of a property test.
type story struct {
	listing
	rt     *rapid.T
	prefix string
	at     int64
	runs   map[schemas.Ref]*told
}

// told is what a run's code has set, and where its record is.
type told struct {
	attributes map[string]*schemas.Attribute
	set        uint64
	record     uint64
	paused     bool
	asked      map[string]bool // questions that are open, by path
}

func (s *story) attributes() map[string]*schemas.Attribute {
	values := []any{"c-1", "c-17", "c-2", int64(1), int64(42), 0.5, true, time.Unix(1_000_000, 0)}
	all := map[string]*schemas.Attribute{}
	for _, name := range []string{"a", "b"} {
		if i := rapid.IntRange(-1, len(values)-1).Draw(s.rt, name); i >= 0 {
			all[name], _ = schemas.AttributeOf(values[i])
		}
	}
	return all
}

// happens appends one random entry to a random run.
func (s *story) happens() {
	s.at += int64(rapid.IntRange(0, 2).Draw(s.rt, "later")) // some start at the same moment
	ref := schemas.Identity{
		Kind: rapid.SampledFrom([]schemas.Kind{"wf", "actor"}).Draw(s.rt, "kind"),
		Key:  s.prefix + rapid.SampledFrom([]string{"x", "xy/z", "ü"}).Draw(s.rt, "key"),
	}.Run(schemas.RunID(rapid.SampledFrom([]string{"1", "2"}).Draw(s.rt, "id")))
	r := s.runs[ref]
	if r != nil && r.record != 0 { // it is over: sometimes its record goes, and the ID may come again
		if rapid.Bool().Draw(s.rt, "removed") {
			if err := s.b.Journal().Delete(s.t.Context(), r.record); err != nil {
				s.t.Fatal(err)
			}
			delete(s.runs, ref)
		}
		return
	}
	events := []*schemas.Event{{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{Node: "n"}}}}
	if r == nil {
		r = &told{attributes: s.attributes(), asked: map[string]bool{}}
		s.runs[ref] = r
		if len(r.attributes) > 0 {
			events = append(events, &schemas.Event{Kind: &schemas.Event_AttributesSet{AttributesSet: &schemas.AttributesSet{Attributes: r.attributes}}})
		}
		s.store(ref, s.at, &schemas.Entry{Events: append(events, &schemas.Event{Kind: &schemas.Event_Started{Started: &schemas.Started{Method: "m"}}})})
		return
	}
	all := func() *schemas.Event {
		return &schemas.Event{Kind: &schemas.Event_AttributesSet{AttributesSet: &schemas.AttributesSet{Count: r.set, Attributes: r.attributes}}}
	}
	switch rapid.SampledFrom([]string{"claim", "set", "suspend", "end", "pause", "resume", "signal", "ask", "answer"}).Draw(s.rt, "what") {
	case "ask":
		path := fmt.Sprint(rapid.IntRange(1, 2).Draw(s.rt, "question"))
		r.asked[path] = true
		events = []*schemas.Event{{Kind: &schemas.Event_Asked{Asked: &schemas.Asked{Path: path}}}}
	case "answer":
		if open := slices.Sorted(maps.Keys(r.asked)); len(open) > 0 {
			path := open[0]
			events = []*schemas.Event{{Kind: &schemas.Event_SignalReceived{SignalReceived: &schemas.SignalReceived{Name: runtime.AnswerPrefix + path}}}}
			if rapid.Bool().Draw(s.rt, "withdrawn") {
				events = []*schemas.Event{{Kind: &schemas.Event_Asked{Asked: &schemas.Asked{Path: path, Withdrawn: true}}}}
			}
			delete(r.asked, path)
		}
	case "set":
		r.attributes = s.attributes()
		r.set++
		events = []*schemas.Event{all()}
	case "pause":
		r.paused = true
		events = []*schemas.Event{{Kind: &schemas.Event_Paused{Paused: &schemas.Paused{}}}}
	case "resume":
		r.paused = false
		events = []*schemas.Event{{Kind: &schemas.Event_Resumed{Resumed: &schemas.Resumed{}}}}
	case "signal":
		events = []*schemas.Event{{Kind: &schemas.Event_SignalReceived{SignalReceived: &schemas.SignalReceived{}}}}
	case "suspend":
		events = []*schemas.Event{{Kind: &schemas.Event_Suspended{Suspended: &schemas.Suspended{Paused: r.paused, Asks: uint32(len(r.asked))}}}}
		if len(r.attributes) > 0 {
			events = []*schemas.Event{all(), events[0]}
		}
	case "end":
		rec := &schemas.Record{Status: schemas.Status_COMPLETED, Attributes: r.attributes, Method: "m", StepCount: 3}
		if rapid.Bool().Draw(s.rt, "fails") {
			rec.Status, rec.Error = schemas.Status_FAILED, &schemas.Error{Code: "no"}
		}
		entries, err := s.b.Journal().Load(s.t.Context(), ref)
		if err != nil {
			s.t.Fatal(err)
		}
		rec.Started = entries[0].Entry.GetAt()
		r.record = s.store(ref, s.at, &schemas.Entry{Record: rec})
		return
	}
	s.store(ref, s.at, &schemas.Entry{Events: events})
}

// naive is the listing that the journals give, read one by one.
func (s *story) naive(f Filter) (list []RunSummary) {
	for ref := range s.runs {
		entries, err := s.b.Journal().Load(s.t.Context(), ref)
		if err != nil {
			s.t.Fatal(err)
		}
		rec, status := runtime.Timeline(entries)
		last := entries[len(entries)-1]
		r := RunSummary{
			Run: ref.String(), Status: StatusName(status), Method: "m", Started: time.Unix(0, rec.GetStarted()).UTC(), Updated: last.Time.UTC(),
			Error: rec.GetError().GetCode(), Attributes: AttributesOf(rec.GetAttributes()),
		}
		if IsEnd(status) {
			r.Steps = rec.GetStepCount()
		}
		ok := (f.Kind == "" || f.Kind == string(ref.Kind)) && strings.HasPrefix(ref.Key, f.KeyPrefix) &&
			(len(f.Status) == 0 || slices.Contains(f.Status, r.Status)) &&
			(f.StartedFrom.IsZero() || !r.Started.Before(f.StartedFrom)) && (f.StartedUntil.IsZero() || r.Started.Before(f.StartedUntil))
		ok = ok && (!f.Asks || !IsEnd(status) && len(rec.GetAsked()) > 0)
		for _, w := range f.Where {
			ok = ok && fulfils(r.Attributes, w)
		}
		if ok {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b RunSummary) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.Run, b.Run)) })
	return list
}

// fulfils knows the conditions of this test.
func fulfils(all Attributes, where string) bool {
	name, value, _ := strings.Cut(where, "=")
	switch v := all[strings.TrimRight(name, "<>!")].(type) {
	case string:
		return strings.HasSuffix(name, ">") && v >= value || name == "a" && v == value
	case int64, float64:
		n, err := strconv.ParseFloat(value, 64)
		have, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
		return err == nil && (strings.HasSuffix(name, ">") && have >= n || name == "a" && have == n)
	case bool:
		return value == "true" || value == "1" && strings.HasSuffix(name, ">") || value == "1" && name == "a"
	case time.Time:
		t, err := time.Parse(time.RFC3339, value)
		return err == nil && (strings.HasSuffix(name, ">") && !v.Before(t) || name == "a" && v.Equal(t))
	}
	return false
}

func (s *story) filter() Filter {
	f := Filter{KeyPrefix: s.prefix}
	if rapid.Bool().Draw(s.rt, "of a kind") {
		f.Kind = "wf"
	}
	f.Status = rapid.SampledFrom([][]string{nil, {"running"}, {"suspended", "failed"}, {"completed"}, {"paused"}}).Draw(s.rt, "status")
	f.Where = rapid.SampledFrom([][]string{nil, nil, {"a=c-17"}, {"a=42"}, {"b>=c-17"}, {"b>=1"}, {"a=c-1", "b>=0.5"}, {"a=1970-01-12T13:46:40Z"}, {"a=true"}}).Draw(s.rt, "where")
	f.Asks = rapid.IntRange(0, 3).Draw(s.rt, "asks") == 0
	if rapid.Bool().Draw(s.rt, "from") {
		f.StartedFrom = time.Unix(0, s.at-int64(rapid.IntRange(0, 20).Draw(s.rt, "ago")))
	}
	if rapid.IntRange(0, 3).Draw(s.rt, "far") == 0 { // more than fits into nanoseconds
		years := []int{2, 1600, 2300, 9999}
		f.StartedFrom = time.Date(rapid.SampledFrom(years).Draw(s.rt, "from year"), 1, 1, 0, 0, 0, 0, time.UTC)
		f.StartedUntil = time.Date(rapid.SampledFrom(years).Draw(s.rt, "until year"), 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return f
}

// pages lists all pages of a size.
func (s *story) pages(x *Index, f Filter, size int) (list []RunSummary) {
	after := ""
	for {
		p, err := x.List(s.t.Context(), f, after, size)
		if err != nil {
			s.t.Fatal(err)
		}
		if list = append(list, p.Runs...); p.Next == "" {
			return list
		}
		if len(p.Runs) != size {
			s.rt.Fatalf("a page of %d of %d runs says that there are more", len(p.Runs), size)
		}
		after = p.Next
	}
}

// What is listed is what the journals say, page by page, whether the index was
// built before it happened, in the middle, or after.
func TestIndex_AgreesWithTheJournals(t *testing.T) {
	t.Parallel()
	l := newListing(t)
	n := 0
	l.list(1, "") // built before
	rapid.Check(t, func(rt *rapid.T) {
		n++
		s := &story{listing: l, rt: rt, prefix: fmt.Sprint(n, "/"), at: int64(n) * 1000, runs: map[schemas.Ref]*told{}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		middle, after := NewIndex(ctx, l.b, l.x.log, nil), NewIndex(ctx, l.b, l.x.log, nil)
		events := rapid.IntRange(1, 30).Draw(rt, "events")
		build := rapid.IntRange(0, events).Draw(rt, "build")
		for i := range events {
			if i == build {
				s.pages(middle, Filter{KeyPrefix: s.prefix}, 100)
			}
			s.happens()
		}
		all := Filter{KeyPrefix: s.prefix}
		whole := s.naive(all)
		for _, x := range []*Index{l.x, middle, after} {
			deadline := time.Now().Add(10 * time.Second)
			for !gocmp.Equal(whole, s.pages(x, all, 100)) { // it follows
				if time.Now().After(deadline) {
					rt.Fatalf("(-journals +index)\n%s", gocmp.Diff(whole, s.pages(x, all, 100)))
				}
			}
			asking := Filter{KeyPrefix: s.prefix, Asks: true}
			for want := s.naive(asking); !gocmp.Equal(want, s.pages(x, asking, 100)); { // after an answer it reads whether there are other questions
				if time.Now().After(deadline) {
					rt.Fatalf("those that ask (-journals +index)\n%s", gocmp.Diff(want, s.pages(x, asking, 100)))
				}
			}
			f, size := s.filter(), rapid.IntRange(1, 5).Draw(rt, "page")
			want := s.naive(f)
			if diff := gocmp.Diff(want, s.pages(x, f, size)); diff != "" {
				rt.Fatalf("%+v (-journals +index)\n%s", f, diff)
			}
			counts, err := x.Count(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			sum := map[string]int{}
			for _, r := range want {
				kind, _, _ := strings.Cut(r.Run, "/")
				sum[kind+" "+r.Status]++
			}
			for _, c := range counts {
				if sum[c.Kind+" "+c.Status] -= c.Runs; sum[c.Kind+" "+c.Status] == 0 {
					delete(sum, c.Kind+" "+c.Status)
				}
			}
			if len(sum) > 0 {
				rt.Fatalf("%+v: counted %+v of %d", f, counts, len(want))
			}
		}
	})
}
