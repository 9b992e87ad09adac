package scripted

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var cities = []string{
	"Amsterdam", "Athens", "Berlin", "Brussels", "Cairo", "Copenhagen", "Delhi", "Dublin", "Helsinki", "Lagos", "Lima",
	"Lisbon", "London", "Madrid", "Nairobi", "New York", "Oslo", "Paris", "Prague", "Rome", "Seoul", "Stockholm",
	"Sydney", "Tokyo", "Toronto", "Utrecht", "Vienna", "Warsaw", "Zurich",
}

// place finds a city that is not among them: the words with a capital letter
// after "in", "for" or "at".
var place = regexp.MustCompile(`\b(?:in|for|at) (\p{Lu}[\p{L}'-]*(?: \p{Lu}[\p{L}'-]*)*)`)

var wet = regexp.MustCompile(`(?i)rain|drizzle|shower|snow|sleet|hail|storm|wet`)

// Weather is a script of a model that answers questions about the weather. For
// each city that the message names it calls get_weather with {"city": "..."},
// all at once. Of the results it reads the fields city, celsius (or
// temperature) and sky (or conditions), answers in one sentence, and, asked for
// a structured answer, fills in its schema: strings by the sentence, booleans by
// whether a coat is needed, numbers by the temperature.
func Weather() Script {
	return Script{Rules: []Rule{{Func: weather}}}
}

func weather(r *Request) Reply {
	if results := r.Results(); len(results) > 0 {
		return report(r, results)
	}
	named := citiesIn(r.User())
	switch {
	case len(named) == 0:
		return say(r, reading{sentence: "I answer questions about the weather; name a city."})
	case !slices.Contains(r.Tools, "get_weather"):
		return say(r, reading{sentence: "I cannot look the weather up: I was not given the tool get_weather."})
	}
	var reply Reply
	for _, city := range named {
		args, _ := json.Marshal(map[string]string{"city": city}) // strings: it cannot fail
		reply.Calls = append(reply.Calls, Call{Name: "get_weather", Arguments: Arguments(args)})
	}
	return reply
}

// citiesIn returns the cities that a text names, in the order it does.
func citiesIn(text string) []string {
	lower := strings.ToLower(text)
	at := map[string]int{}
	for _, c := range cities {
		if i := strings.Index(lower, strings.ToLower(c)); i >= 0 {
			at[c] = i
		}
	}
	if len(at) == 0 {
		for _, m := range place.FindAllStringSubmatchIndex(text, -1) {
			at[text[m[2]:m[3]]] = m[2]
		}
	}
	var named []string
	for c := range at {
		named = append(named, c)
	}
	slices.SortFunc(named, func(a, b string) int { return at[a] - at[b] })
	return named
}

// A reading is what a model makes of tool results.
type reading struct {
	sentence string
	coat     bool
	celsius  float64
}

func report(r *Request, results []Message) Reply {
	var all reading
	var parts []string
	for _, m := range results {
		var w struct {
			City        string   `json:"city"`
			Celsius     *float64 `json:"celsius"`
			Temperature *float64 `json:"temperature"`
			Sky         string   `json:"sky"`
			Conditions  string   `json:"conditions"`
			Error       *struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		err := json.Unmarshal([]byte(m.Content), &w)
		if w.City == "" {
			w.City = cityAsked(r, m.ToolCallID)
		}
		if w.Celsius == nil {
			w.Celsius = w.Temperature
		}
		sky := w.Sky + w.Conditions
		switch {
		case w.Error != nil:
			parts = append(parts, fmt.Sprintf("the weather in %s is not to be had (%s)", w.City, w.Error.Message))
		case err != nil || w.Celsius == nil && sky == "":
			parts = append(parts, fmt.Sprintf("of %s I hear: %s", w.City, m.Content))
		default:
			part := "in " + w.City + " it is"
			if w.Celsius != nil {
				part += fmt.Sprintf(" %g °C", *w.Celsius)
				all.celsius = *w.Celsius
				all.coat = all.coat || *w.Celsius < 15
			}
			if sky != "" {
				part += " and " + sky
				all.coat = all.coat || wet.MatchString(sky)
			}
			parts = append(parts, strings.Replace(part, "it is and ", "it is ", 1))
		}
	}
	all.sentence = strings.Join(parts, ", ")
	if asked := strings.ToLower(r.User()); strings.Contains(asked, "coat") || strings.Contains(asked, "jacket") || strings.Contains(asked, "umbrella") {
		if all.coat {
			all.sentence = "Yes, take it with you: " + all.sentence
		} else {
			all.sentence = "No, leave it at home: " + all.sentence
		}
	}
	all.sentence = strings.ToUpper(all.sentence[:1]) + all.sentence[1:] + "."
	return say(r, all)
}

// cityAsked returns the city that a tool call was about.
func cityAsked(r *Request, call string) string {
	for _, m := range slices.Backward(r.Messages) {
		for _, c := range m.Calls {
			var args struct {
				City string `json:"city"`
			}
			if c.ID == call && json.Unmarshal([]byte(c.Arguments), &args) == nil && args.City != "" {
				return args.City
			}
		}
	}
	return "that place"
}

// say answers in the form that was asked for.
func say(r *Request, w reading) Reply {
	if r.Schema == nil {
		return Reply{Text: w.sentence}
	}
	var schema map[string]any
	_ = json.Unmarshal(r.Schema, &schema)    // it was checked
	data, _ := json.Marshal(fill(schema, w)) // of maps, strings and numbers: it cannot fail
	return Reply{Text: string(data)}
}

// fill returns a value that matches the kinds of schemas that Go types have.
func fill(schema map[string]any, w reading) any {
	kind, _ := schema["type"].(string)
	if kinds, ok := schema["type"].([]any); ok && len(kinds) > 0 {
		kind, _ = kinds[len(kinds)-1].(string)
	}
	switch kind {
	case "object":
		out := map[string]any{}
		properties, _ := schema["properties"].(map[string]any)
		for name, p := range properties {
			if m, ok := p.(map[string]any); ok {
				out[name] = fill(m, w)
			}
		}
		return out
	case "array":
		return []any{}
	case "boolean":
		return w.coat
	case "number":
		return w.celsius
	case "integer":
		return int(w.celsius)
	}
	return w.sentence
}
