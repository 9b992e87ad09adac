package scripted_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/perdure/perdure/agents/models/scripted"
	"pgregory.net/rapid"
)

var comparable = cmpopts.IgnoreUnexported(scripted.Rule{})

func TestParseReadsEveryField(t *testing.T) {
	got, err := scripted.Parse([]byte(`{"rules":[
		{"request":3,"message":"(?i)oslo","result":"*","times":2,"text":"t","refusal":"r","finish_reason":"length","stall":"1.5s","hold":true,
		 "status":429,"retry_after":"2s","midway":true,"cut":true,"cut_at":7,"body":"b","thinking":"h","redacted":"d","calls":[{"id":"i","name":"f","arguments":{ "city": "Oslo" }},{"name":"g","arguments":"{broken"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := scripted.Script{Rules: []scripted.Rule{{Request: 3, Message: "(?i)oslo", Result: "*", Times: 2, Reply: scripted.Reply{
		Text: "t", Refusal: "r", FinishReason: "length", Stall: scripted.Duration(1500 * time.Millisecond), Hold: true,
		Status: 429, RetryAfter: scripted.Duration(2 * time.Second), Midway: true, Cut: true, CutAt: 7, Body: "b", Thinking: "h", Redacted: "d",
		Calls: []scripted.Call{{ID: "i", Name: "f", Arguments: `{"city":"Oslo"}`}, {Name: "g", Arguments: "{broken"}},
	}}}}
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Error("(-want +got):", diff)
	}
}

func TestParseSaysWhatIsWrongAndWhere(t *testing.T) {
	for script, want := range map[string]string{
		``:                                     "EOF",
		`{}`:                                   "at least one rule",
		`{"rules":[]}`:                         "at least one rule",
		`{"rules":[{"txet":"a"}]}`:             "txet",
		`{"rules":[{"text":"a"}]} x`:           "something behind it",
		`{"rules":[{},{"message":"("}]}`:       "rule 2 of the script: message",
		`{"rules":[{"times":-1}]}`:             "negative",
		`{"rules":[{"stall":"-1s"}]}`:          "negative",
		`{"rules":[{"cut_at":-1}]}`:            "negative",
		`{"rules":[{"cut_at":7}]}`:             "cut_at 7 without cut",
		`{"rules":[{"stall":5}]}`:              `"1.5s"`,
		`{"rules":[{"stall":"soon"}]}`:         "soon",
		`{"rules":[{"status":200}]}`:           "from 400 to 599",
		`{"rules":[{"calls":[{"name":7}]}]}`:   "name",
		`{"rules":[{"status":1},{"times":-1}]`: "unexpected EOF",
	} {
		if _, err := scripted.Parse([]byte(script)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want it to contain %q", script, err, want)
		}
	}
}

// TestScriptSurvivesJSON writes scripts as JSON and reads them back.
func TestScriptSurvivesJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z${}"\\ ]{0,12}`)
		duration := rapid.Custom(func(t *rapid.T) scripted.Duration {
			return scripted.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "duration"))
		})
		want := scripted.Script{Rules: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) scripted.Rule {
			r := scripted.Rule{
				Request: rapid.IntRange(0, 9).Draw(t, "request"), Message: rapid.SampledFrom([]string{"", "a+", `(?P<x>\w)`}).Draw(t, "message"),
				Result: text.Draw(t, "result"), Times: rapid.IntRange(0, 9).Draw(t, "times"),
			}
			r.Text, r.Body, r.Cut, r.Hold = text.Draw(t, "text"), text.Draw(t, "body"), rapid.Bool().Draw(t, "cut"), rapid.Bool().Draw(t, "hold")
			r.Thinking, r.Redacted, r.Midway = text.Draw(t, "thinking"), text.Draw(t, "redacted"), rapid.Bool().Draw(t, "midway")
			if r.Cut {
				r.CutAt = rapid.IntRange(0, 9).Draw(t, "cut at")
			}
			r.Stall, r.RetryAfter = duration.Draw(t, "stall"), duration.Draw(t, "retry after")
			r.Status = rapid.SampledFrom([]int{0, 400, 599}).Draw(t, "status")
			for range rapid.IntRange(0, 2).Draw(t, "calls") {
				r.Calls = append(r.Calls, scripted.Call{Name: text.Draw(t, "name"), Arguments: scripted.Arguments(text.Draw(t, "arguments"))})
			}
			return r
		}), 1, 4).Draw(t, "rules")}
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := scripted.Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(want, got, comparable, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s (-want +got): %s", data, diff)
		}
	})
}

// FuzzParse shows that whatever Parse accepts can be played.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"rules":[{"message":"(?P<c>\\w+)","calls":[{"name":"f","arguments":{"city":"${c}"}}]},{"result":"*","text":"${result.a.b}"}]}`))
	f.Add([]byte(`{"rules":[{"text":"$","status":404}]}`))
	f.Add([]byte(`{"rules":[{"text":"${1}$2${x","body":"b"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := scripted.Parse(data)
		if err != nil {
			return
		}
		for i := range s.Rules { // what takes time, or ends a connection, is tested elsewhere
			s.Rules[i].Stall, s.Rules[i].Hold, s.Rules[i].Cut, s.Rules[i].CutAt = 0, false, false, 0
		}
		v, err := scripted.New(s)
		if err != nil {
			t.Fatalf("parsed, and not playable: %v", err)
		}
		for _, body := range []string{user("hello"), after("f", `{"a":{"b":1}}`)} {
			w := httptest.NewRecorder()
			v.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body)))
			if w.Code != http.StatusOK && (w.Code < 400 || w.Code > 599) {
				t.Errorf("status %d", w.Code)
			}
		}
	})
}

// FuzzRequest sends a server whatever there is: it answers or refuses.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(user("weather in Oslo and Rome")))
	f.Add([]byte(after("get_weather", `{"celsius":1}`)))
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":null}],"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object"}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := scripted.New(scripted.Weather())
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		v.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(string(body))))
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("the answer is no JSON: %s", w.Body)
		}
	})
}
