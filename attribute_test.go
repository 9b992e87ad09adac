package perdure_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

type parcel struct {
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
}

var (
	parcels = durable.DeclareWorkflow[parcel, string]("ship")
	label   = durable.Declare[string, string]("label.print")
)

func shipKinds() perdure.Option {
	return perdure.Host(
		durable.Workflow(parcels, func(ctx durable.Context, p parcel) (string, error) {
			if err := durable.SetAttribute(ctx, "customer", p.Customer); err != nil {
				return "", err
			}
			if p.Cents > 0 {
				if err := durable.SetAttribute(ctx, "cents", p.Cents); err != nil {
					return "", err
				}
			}
			return durable.Call(ctx, label.At(ctx.Info().Key), p.Customer, durable.Attribute("for", p.Customer))
		}),
		bindLabel(),
	)
}

// listed waits until a list is as long as it should be, and returns it.
func listed(t *testing.T, c *perdure.Client, q perdure.ListRuns, want int) (runs []string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		list, err := c.List(testContext(t), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Runs) == want {
			for _, r := range list.Runs {
				runs = append(runs, r.Run)
			}
			return runs
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v lists %+v, want %d runs", q, list.Runs, want)
		}
	}
}

// Runs are found by the attributes that their code sets, and by those that they
// were given at their start: from Go, over the API, by another run, and by any
// NATS client.
func TestAttributes_AreWhatRunsAreFoundBy(t *testing.T) {
	t.Parallel()
	node := running(t, "", shipKinds())
	c, ctx := node.Client(), testContext(t)
	due := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	if _, err := perdure.Call(ctx, c, parcels.At("go"), parcel{"c-17", 4200}, perdure.Attribute("channel", "go"), perdure.Attribute("due", due)); err != nil {
		t.Fatal(err)
	}
	run, err := c.StartJSON(ctx, "ship", "api", "", "", json.RawMessage(`{"customer":"c-17","cents":50}`), perdure.Attribute("channel", "api"), perdure.Attribute("large", int64(1)<<60))
	if err != nil {
		t.Fatal(err)
	}
	nc := plain(t, node)
	publish := func(key string, headers ...string) {
		msg := nats.NewMsg("perdure.task.local.ship." + key)
		msg.Data = []byte(`{"customer":"c-18"}`)
		for i := 0; i < len(headers); i += 2 {
			msg.Header.Set(headers[i], headers[i+1])
		}
		if _, err := nc.RequestMsgWithContext(ctx, msg); err != nil {
			t.Fatal(err)
		}
	}
	publish("wire", "Perdure-Attr-channel", "wire", "Perdure-Attr-weight", "2.5", "Perdure-Attr-zip", `"01234"`, "Perdure-Attr-gift", "true", "Perdure-Attr-due", "2026-12-02T10:00:00Z")
	publish("bad", "Perdure-Attr-a.b", "x")

	all := listed(t, c, perdure.ListRuns{Kind: "ship", Status: "completed"}, 3)
	slices.Sort(all)
	if diff := cmp.Diff([]string{"ship/api/api", "ship/go/go", "ship/wire/wire"}, all); diff != "" {
		t.Error(diff)
	}
	for where, want := range map[string]string{
		"customer=c-18":             "ship/wire/wire",
		"channel=go":                "ship/go/go",
		"cents>=4200":               "ship/go/go",
		"cents<4200":                "ship/api/api",
		"large=1152921504606846976": "ship/api/api",
		"weight=2.5":                "ship/wire/wire",
		"zip=01234":                 "ship/wire/wire",
		"gift=true":                 "ship/wire/wire",
		"due>2026-12-01T11:00:00Z":  "ship/wire/wire",
		"due<2026-12-01T11:00:00Z":  "ship/go/go",
		"for=c-18":                  "label/wire/",
	} {
		if got := listed(t, c, perdure.ListRuns{Where: []string{where}}, 1); !strings.HasPrefix(got[0], want) {
			t.Errorf("%s lists %v, want %s", where, got, want)
		}
	}
	info, err := c.Get(ctx, run.Ref())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(perdure.Attributes{"customer": "c-17", "cents": int64(50), "channel": "api", "large": int64(1) << 60}, info.Attributes); diff != "" {
		t.Errorf("attributes of %s (-want +got)\n%s", run.Ref(), diff)
	}
	counts, err := c.Count(ctx, perdure.ListRuns{Where: []string{"customer=c-17"}})
	if err != nil || counts.Runs != 2 || len(counts.Counts) != 1 || counts.Counts[0] != (perdure.RunCount{Kind: "ship", Status: "completed", Runs: 2}) {
		t.Errorf("counted %+v, %v", counts, err)
	}
	if letter := firstDead(t, node, "ship"); letter.Code != "invalid" || !strings.Contains(letter.Reason, `the name "a.b"`) {
		t.Errorf("the task with an attribute of a wrong name is %+v, want a dead letter that says so", letter)
	}
}

// What a run cannot have is refused before anything is sent, and says why.
func TestAttributes_OfAWrongFormAreRefused(t *testing.T) {
	t.Parallel()
	node := running(t, "", shipKinds())
	c, ctx := node.Client(), testContext(t)
	var many []perdure.StartOption
	for i := range 33 {
		many = append(many, perdure.Attribute("a"+string(rune('A'+i)), i))
	}
	for _, opts := range [][]perdure.StartOption{
		{perdure.Attribute("a b", "x")},
		{perdure.Attribute("", "x")},
		{perdure.Attribute("a", strings.Repeat("x", 257))},
		{perdure.Attribute("a", "\xff")},
		{perdure.Attribute("a", time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC))},
		many,
	} {
		if _, err := perdure.Start(ctx, c, parcels.At("a"), parcel{}, opts...); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "attribute") {
			t.Errorf("started with %+v: %v", opts, err)
		}
		if _, err := c.StartJSON(ctx, "ship", "a", "", "", json.RawMessage(`{}`), opts...); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("started over the API with %+v: %v", opts, err)
		}
	}
	for _, q := range []perdure.ListRuns{{Where: []string{"a"}}, {Where: []string{"=x"}}, {Where: []string{"a!x"}}, {Where: []string{"a>>4"}}, {Where: []string{"a<>4"}}, {Where: []string{"a==4"}}, {Where: []string{"a>==4"}}, {Key: "a", KeyPrefix: "a"}, {After: "zz@"}, {After: "!@x"}, {Status: "done"}} {
		if _, err := c.List(ctx, q); q.After != "zz@" && !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", q, err)
		}
	}
	if _, err := c.Count(ctx, perdure.ListRuns{Limit: 1}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a count with a limit: %v, want ErrInvalid", err)
	}
}

func bindLabel() *durable.Kind {
	return actors.New(actors.Handlers[durable.None]{actors.On(label, func(_ durable.Context, _ *durable.None, to string) (string, error) {
		return "to " + to, nil
	})})
}

type letter struct{ Code, Reason string }

// firstDead waits for a dead letter of a kind.
func firstDead(t *testing.T, node *perdure.Node, kind string) letter {
	t.Helper()
	nc := plain(t, node)
	for {
		answer, err := nc.RequestWithContext(testContext(t), "perdure.api.dead.list", []byte(`{"kind":"`+kind+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Dead []letter }
		if err := json.Unmarshal(answer.Data, &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Dead) > 0 {
			return list.Dead[0]
		}
	}
}
