package scripted

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// A Script says what the model answers: the first rule that fits a request
// decides. A request that none fits is refused with status 400.
type Script struct {
	Rules []Rule `json:"rules"`
}

// A Rule is what is answered, and when. Conditions that are set must all hold.
type Rule struct {
	// Request is the number of the HTTP request, from 1, repeats included.
	Request int `json:"request,omitempty"`
	// Message is a regular expression that the last message of the user matches.
	Message string `json:"message,omitempty"`
	// Result is the tool whose result the last message is; "*" is any.
	Result string `json:"result,omitempty"`
	// Times is how often the rule applies at most; 0: always.
	Times int `json:"times,omitempty"`

	Reply
	// Func, if set, makes the reply in place of Reply. It is called for one
	// request at a time.
	Func func(*Request) Reply `json:"-"`

	message *regexp.Regexp
	applied int
}

// A Reply is an answer, or what goes wrong. In Text and in the arguments of
// Calls, $1 and ${name} are groups of the rule's Message, ${result} the last
// tool result, ${result.name} a field of it if it is a JSON object, and $$ a
// dollar sign.
type Reply struct {
	Text         string `json:"text,omitempty"`
	Calls        []Call `json:"calls,omitempty"` // of tools, all at once
	Refusal      string `json:"refusal,omitempty"`
	FinishReason string `json:"finish_reason,omitempty"` // default: "stop", or "tool_calls"

	// Thinking is what the model thinks first, where the API shows it: the Messages
	// API, of a request that may be thought about, and the Responses API.
	Thinking string `json:"thinking,omitempty"`
	// Redacted is more of it that is not shown: what the API has in place of it.
	Redacted string `json:"redacted,omitempty"`

	// Stall is how long the request waits before anything is answered.
	Stall Duration `json:"stall,omitempty"`
	// Hold stalls the request until [Server.Release].
	Hold bool `json:"hold,omitempty"`
	// Status, from 400 to 599, fails the request; Text is the error's message.
	Status     int      `json:"status,omitempty"`
	RetryAfter Duration `json:"retry_after,omitempty"` // the header, in whole seconds, or Retry-After-Ms
	// Midway has Stall, Hold and, of an answer that is streamed, Status happen in
	// the middle of the body in place of before it.
	Midway bool `json:"midway,omitempty"`
	// Cut ends the connection in the middle of the body, or behind so many bytes of
	// it as CutAt says.
	Cut   bool `json:"cut,omitempty"`
	CutAt int  `json:"cut_at,omitempty"`
	// Body is sent as it is in place of a response; with status 200 unless
	// Status says otherwise.
	Body string `json:"body,omitempty"`
}

// A Call is a tool call that the model makes.
type Call struct {
	ID        string    `json:"id,omitempty"` // default: a new one
	Name      string    `json:"name"`
	Arguments Arguments `json:"arguments,omitempty"`
}

// Arguments are the arguments of a tool call as the model writes them: JSON, or
// something broken that was meant to be. In a script's JSON they are an object,
// or a string that is taken as it is.
type Arguments string

// UnmarshalJSON reads an object as its text and a string as what it says.
func (a *Arguments) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(a))
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return err
	}
	*a = Arguments(b.String())
	return nil
}

// A Duration is a time.Duration that is written "1.5s" in JSON.
type Duration time.Duration

// UnmarshalJSON reads a string such as "1.5s".
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read a duration: write it as a string such as \"1.5s\": %w", err)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("read a duration: %w", err)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes a string such as "1.5s".
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// Parse reads a script from JSON, e.g.
//
//	{"rules": [
//		{"message": "(?i)weather in (?P<city>\\w+)", "calls": [{"name": "get_weather", "arguments": {"city": "${city}"}}]},
//		{"result": "get_weather", "text": "It is ${result.sky} in ${result.city}."},
//		{"text": "Ask me about the weather."}
//	]}
func Parse(data []byte) (Script, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var s Script
	if err := dec.Decode(&s); err != nil {
		return Script{}, fmt.Errorf("parse a script: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Script{}, errors.New("parse a script: there is something behind it; give one JSON object")
	}
	if _, err := s.compile(); err != nil {
		return Script{}, err
	}
	return s, nil
}

// compile checks the rules and returns copies that are ready to be played.
func (s Script) compile() ([]*Rule, error) {
	if len(s.Rules) == 0 {
		return nil, errors.New("a script needs at least one rule")
	}
	rules := make([]*Rule, len(s.Rules))
	var errs []error
	for i, r := range s.Rules {
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("rule %d of the script: "+format, append([]any{i + 1}, args...)...))
		}
		var err error
		if r.Message != "" {
			if r.message, err = regexp.Compile(r.Message); err != nil {
				bad("message: %w", err)
			}
		}
		if r.Request < 0 || r.Times < 0 || r.CutAt < 0 {
			bad("request %d, times %d and cut_at %d: none may be negative", r.Request, r.Times, r.CutAt)
		}
		if r.CutAt > 0 && !r.Cut {
			bad("cut_at %d without cut: set both", r.CutAt)
		}
		if r.Stall < 0 || r.RetryAfter < 0 {
			bad("stall %s and retry_after %s: none may be negative", time.Duration(r.Stall), time.Duration(r.RetryAfter))
		}
		if r.Status != 0 && (r.Status < 400 || r.Status > 599) {
			bad("status %d: a request fails with one from 400 to 599", r.Status)
		}
		r.applied = 0
		rules[i] = &r
	}
	return rules, errors.Join(errs...)
}
