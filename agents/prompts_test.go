package agents_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
)

// files is a file system of texts, by path.
func files(texts map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range texts {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// mirror is a model that answers with its instructions.
func mirror(t *testing.T) *agentstest.Scripted {
	return agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		return scripted.Reply{Text: told(r)}
	}))
}

// told returns the instructions of a request.
func told(r *scripted.Request) string {
	if m := r.Messages[0]; m.Role == "system" || m.Role == "developer" {
		return m.Content
	}
	return ""
}

// noted returns the annotations of the model steps of all runs so far.
func noted(b *bundle, name string) (values []string) {
	for _, s := range b.Journal.History() {
		for _, e := range s.Entry.GetEvents() {
			if c := e.GetStepCompleted(); c.GetName() == "model" {
				values = append(values, c.GetAttributes()[name])
			}
		}
	}
	return values
}

func TestInstructionsFileIsATemplateOfTheRun(t *testing.T) {
	fsys := files(map[string]string{"p/weather.md": "---\r\nversion: v3\r\ndescription: for tests\r\n---\r\n\r\nYou serve {{.Run.Key}} of {{.Run.Kind}}.\r\n"})
	b := setup(t, agents.New(weather, agents.InstructionsFile(fsys, "p/weather.md"), agents.UseModel(mirror(t))))
	b.Start()
	for _, key := range []string{"ann", "bob"} {
		got, err := do[string](b, ref("weather", key, "1"), "go")
		if want := "You serve " + key + " of weather."; err != nil || got != want {
			t.Errorf("the instructions are %q (%v), want %q", got, err, want)
		}
	}
	versions := noted(b, "instructions_version")
	if len(versions) != 2 || !strings.HasPrefix(versions[0], "v3@") || versions[0] != versions[1] {
		t.Errorf("the steps say the versions %q", versions)
	}
}

type customer struct{ Plan string }

// TestValuesAreAskedOnceARun: what was made of them is in the journal. A process that dies
// asks again only if it died before the first answer was recorded.
func TestValuesAreAskedOnceARun(t *testing.T) {
	play := func(t *testing.T, when runtimetest.When, n int) (points []string, asked int) {
		fsys := files(map[string]string{"weather.md": "Plan {{.Values.Plan}} of {{.Run.Key}}."})
		var shown []string
		m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
			shown = append(shown, told(r))
			if r.Rounds() < 2 {
				return calls(call("get_weather", `{"city":"Oslo"}`))
			}
			return scripted.Reply{Text: told(r)}
		}))
		b := setup(t, agents.New(weather, agents.InstructionsFile(fsys, "weather.md"), agents.UseModel(m, agents.Retry(3, time.Millisecond)),
			agents.Tools(agents.Func("get_weather", "", getWeather)), agents.Values(func(_ context.Context, run durable.Info) (customer, error) {
				if asked++; asked == 1 {
					return customer{}, errors.New("the database is away")
				}
				return customer{fmt.Sprint(run.Key, asked)}, nil
			})))
		b.Passivate = true
		if n > 0 {
			b.CrashAt(when, n)
		}
		b.Start()
		got, err := do[string](b, ref("weather", "ann", "1"), "go")
		if want := fmt.Sprintf("Plan ann%d of ann.", asked); err != nil || got != want {
			t.Errorf("the instructions are %q (%v), want %q", got, err, want)
		}
		for _, s := range shown[len(shown)-2:] {
			if s != got {
				t.Errorf("a request had the instructions %q, the last %q", s, got)
			}
		}
		return b.Points(), asked
	}
	points, asked := play(t, 0, 0)
	if asked != 2 {
		t.Fatalf("the values were asked for %d times, want once, and once more for the failure", asked)
	}
	again := 0
	for n := 1; n <= len(points); n++ {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d.%d", n, when), func(t *testing.T) {
				_, asked := play(t, when, n)
				again += asked - 2
			})
		}
	}
	if again != 1 {
		t.Errorf("of all processes that died, %d led to asking again, want the one whose first answer was lost", again)
	}
}

func TestInstructionsSayWhatIsWrongWithThem(t *testing.T) {
	plan := agents.Values(func(context.Context, durable.Info) (customer, error) { return customer{}, nil })
	for name, c := range map[string]struct {
		text string
		opts []agents.Option
		want string
	}{
		"no file":            {"", nil, "file does not exist"},
		"no text":            {"---\nversion: 1\n---\n", nil, "there are none"},
		"no end":             {"---\nversion: 1\n", nil, "close it by another line of ---"},
		"another name":       {"---\nverzion: 1\n---\nHello", nil, "verzion"},
		"no template":        {"Hello {{.Run", nil, "text/template"},
		"no such field":      {"Hello {{.Run.Keys}}", nil, "can't evaluate field Keys"},
		"no values":          {"Hello {{.Values.Plan}}", nil, "can't evaluate field Plan"},
		"no such value":      {"Hello {{.Values.Plans}}", []agents.Option{plan}, "there is {{.Run}}, with the fields of durable.Info"},
		"given in two ways":  {"Hello", []agents.Option{agents.Instructions("Hi")}, "twice"},
		"a value that is it": {"Hello {{.Values.Plan}}", []agents.Option{plan}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := files(map[string]string{"a.md": c.text})
			if c.text == "" {
				fsys = files(nil)
			}
			err := agents.New(weather, append(c.opts, agents.UseModel(mirror(t)), agents.InstructionsFile(fsys, "a.md"))...).Validate()
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantErr(t, err, durable.ErrInvalid, c.want)
		})
	}
}

var skillFiles = map[string]string{
	"refunds/SKILL.md":        "---\nname: refunds\ndescription: >\n  How to pay money back.\n  Use it for complaints.\nlicense: Apache-2.0\n---\n# Refunds\n\nSee limits.md.",
	"refunds/ref/limits.md":   "At most 100 EUR.",
	"refunds/scripts/bin.dat": "\xff\xfe",
	"coats/SKILL.md":          "---\nname: coats\ndescription: What to wear\n---\nWear a coat.",
	"README.md":               "no skill",
	"empty/notes.txt":         "no skill",
}

// TestSkillsAreReadWhenTheyAreWanted: the model is told names and descriptions, and reads
// on.
func TestSkillsAreReadWhenTheyAreWanted(t *testing.T) {
	for arguments, want := range map[string]string{
		`{"skill":"refunds"}`:                            "# Refunds\n\nSee limits.md.\n\nFurther files of this skill: ref/limits.md, scripts/bin.dat",
		`{"skill":"coats"}`:                              "Wear a coat.",
		`{"skill":"refunds","file":"ref/limits.md"}`:     "At most 100 EUR.",
		`{"skill":"refunds","file":"./ref/limits.md"}`:   "At most 100 EUR.",
		`{"skill":"refunds","file":"../coats/SKILL.md"}`: `"not_found"`,
		`{"skill":"coats","file":"/etc/passwd"}`:         `it has: none`,
		`{"skill":"refunds","file":"scripts/bin.dat"}`:   "is no text",
		`{"skill":"cooking"}`:                            "there are: coats, refunds",
		`{"file":"x"}`:                                   `"bad_arguments"`,
	} {
		t.Run(arguments, func(t *testing.T) {
			var shown string
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				if r.Rounds() == 0 {
					shown = string(r.Body)
					return calls(call("read_skill", arguments))
				}
				return scripted.Reply{Text: r.Last().Content}
			}))
			b := setup(t, agents.New(weather, agents.UseModel(m), agents.Skills(files(skillFiles), ".")))
			b.Start()
			got, err := do[string](b, ref("weather", "w", "1"), "go")
			if err != nil || !strings.Contains(got, want) {
				t.Errorf("the model reads %q (%v), want %q", got, err, want)
			}
			contains(t, shown, "- refunds: How to pay money back. Use it for complaints.", "- coats: What to wear")
			if strings.Contains(shown, "limits") || strings.Contains(shown, "Wear a coat") {
				t.Errorf("the model is told more than names and descriptions: %s", shown)
			}
		})
	}
}

func TestSkillsSayWhatIsWrongWithThem(t *testing.T) {
	for want, text := range map[string]string{
		"has no name":                 "# Refunds",
		"has no description":          "---\nname: refunds\n---\nx",
		"nothing behind":              "---\nname: refunds\ndescription: d\n---\n",
		"use 1 to 64 of a-z":          "---\nname: Re_funds\ndescription: d\n---\nx",
		`the name of its folder`:      "---\nname: payback\ndescription: d\n---\nx",
		"it may have 1024":            "---\nname: refunds\ndescription: " + strings.Repeat("d", 1025) + "\n---\nx",
		"not what it should be":       "---\nname: [refunds\n---\nx",
		"no text in UTF-8":            "---\nname: refunds\ndescription: d\n---\n\xff",
		"put details into further":    "---\nname: refunds\ndescription: d\n---\n" + strings.Repeat("x", 300<<10),
		"close it by another line of": "---\nname: refunds",
	} {
		t.Run(want, func(t *testing.T) {
			err := agents.New(weather, agents.UseModel(mirror(t)), agents.Skills(files(map[string]string{"refunds/SKILL.md": text}), ".")).Validate()
			wantErr(t, err, durable.ErrInvalid, "refunds/SKILL.md", want)
		})
	}
	err := agents.New(weather, agents.UseModel(mirror(t)), agents.Skills(files(map[string]string{"SKILL.md": "x"}), ".")).Validate()
	wantErr(t, err, durable.ErrInvalid, "no folder in it has a file SKILL.md")
}
