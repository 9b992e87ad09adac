package agents

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// order has every shape that arguments come in.
type order struct {
	Name   string         `json:"name"`
	Count  int            `json:"count"`
	Price  float64        `json:"price,omitempty"`
	Urgent bool           `json:"urgent"`
	Tags   []string       `json:"tags"`
	Extra  map[string]int `json:"extra,omitempty"`
	Box    *box           `json:"box,omitempty"`
	Lines  []box          `json:"lines,omitempty"`
	Small  uint8          `json:"small,omitempty"`
	Photo  []byte         `json:"photo,omitempty"`
}

type box struct {
	Size int `json:"size"`
}

func orderSchema(t interface {
	Helper()
	Fatal(...any)
},
) *schema {
	t.Helper()
	s, err := arguments[order]()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestArgumentsThatGoWritesAreAccepted writes values of the tool's type as Go
// does and reads them as arguments.
func TestArgumentsThatGoWritesAreAccepted(t *testing.T) {
	s := orderSchema(t)
	boxes := rapid.Custom(func(t *rapid.T) box { return box{rapid.Int().Draw(t, "size")} })
	rapid.Check(t, func(t *rapid.T) {
		want := order{
			Name: rapid.String().Draw(t, "name"), Count: rapid.Int().Draw(t, "count"), Price: rapid.Float64().Draw(t, "price"),
			Urgent: rapid.Bool().Draw(t, "urgent"), Tags: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "tags"),
			Extra: rapid.MapOfN(rapid.String(), rapid.Int(), 0, 3).Draw(t, "extra"),
			Lines: rapid.SliceOfN(boxes, 0, 3).Draw(t, "lines"), Small: rapid.Uint8().Draw(t, "small"),
			Photo: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "photo"),
		}
		if rapid.Bool().Draw(t, "boxed") {
			b := boxes.Draw(t, "box")
			want.Box = &b
		}
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeArguments[order](s, string(data))
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s (-want +got): %s", data, diff)
		}
	})
}

// TestArgumentsWithOneMistakeAreRefused takes good arguments and makes one thing
// wrong with them.
func TestArgumentsWithOneMistakeAreRefused(t *testing.T) {
	s := orderSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		good := map[string]any{"name": "n", "count": 1, "urgent": true, "tags": []string{"a"}, "small": 1, "box": map[string]any{"size": 2}}
		field := rapid.SampledFrom([]string{"name", "count", "urgent", "tags"}).Draw(t, "field")
		switch rapid.IntRange(0, 3).Draw(t, "mistake") {
		case 0:
			delete(good, field)
		case 1:
			good[field] = map[string]any{"not": "this"}
		case 2:
			good[rapid.StringMatching(`[A-Z][a-z]{1,5}`).Draw(t, "another")] = 1
		case 3:
			good["small"] = rapid.SampledFrom([]any{-1, 256, 1.5, "1"}).Draw(t, "small")
		}
		data, err := json.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeArguments[order](s, string(data)); !errors.Is(err, ErrBadArguments) {
			t.Fatalf("%s is read as %v, %v", data, got, err)
		}
	})
}

// FuzzArguments shows that whatever a model writes is either refused, by an
// error that the model is told, or a value of the tool's type.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"name":"a","count":1,"urgent":false,"tags":null}`, `{"name":"a","count":1.0,"urgent":true,"tags":[]}`,
		`{"name":"a","count":1e3,"urgent":true,"tags":["x"],"box":null}`, `{"name":"a","name":7,"count":1}`, `null`, `[]`, `{"count":99999999999999999999}`,
		`{"name":"a","count":1,"urgent":false,"tags":[]} {}`, `{"name":"\ud800","count":1,"urgent":false,"tags":[],"small":-0}`,
	} {
		f.Add(seed)
	}
	s := orderSchema(f)
	f.Fuzz(func(t *testing.T, written string) {
		got, err := decodeArguments[order](s, written)
		if err != nil {
			if !errors.Is(err, ErrBadArguments) || !strings.Contains(err.Error(), `"urgent"`) {
				t.Errorf("%q: the model is told %v, which does not show the schema", written, err)
			}
			return
		}
		data, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeArguments[order](s, string(data))
		if err != nil || !cmp.Equal(got, again, cmpopts.EquateEmpty()) {
			t.Errorf("%q is %+v, and as Go writes it %+v, %v", written, got, again, err)
		}
	})
}

// FuzzAnswer does the same for the answers of a model.
func FuzzAnswer(f *testing.F) {
	f.Add("```json\n{\"name\":\"a\",\"count\":1,\"urgent\":true,\"tags\":[]}\n```")
	f.Add("```")
	f.Add("```{}```")
	a, err := answers[order]()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := a.read(text)
		if (p == nil) == (err == nil) {
			t.Errorf("%q: result %v, error %v", text, p, err)
		}
		if err == nil && !json.Valid(p.GetData()) {
			t.Errorf("%q: the result is %q", text, p.GetData())
		}
	})
}
