package runtime

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/schemas"
	"github.com/rogpeppe/go-internal/txtar"
)

// ungolden names the kinds of events that no journal of testdata/replay has, each
// with the reason. That a run was terminated is no event, but its record.
var ungolden = map[string]string{
	"refused": "its run was never executed: there is nothing to replay",
}

// TestReplay_EveryKindOfEventIsInAGoldenJournal holds the journals of
// testdata/replay against the schema, without those that must stop.
func TestReplay_EveryKindOfEventIsInAGoldenJournal(t *testing.T) {
	files, err := filepath.Glob("testdata/replay/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]string{}
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "bad-") {
			continue
		}
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if f.Name != "journal" {
				continue
			}
			for line := range strings.Lines(strings.TrimSpace(string(f.Data))) {
				_, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
				for words := range strings.SplitSeq(rest, " | ") {
					e := readEvent(t, words)
					has[string(e.ProtoReflect().WhichOneof(e.ProtoReflect().Descriptor().Oneofs().ByName("kind")).Name())] = file
				}
			}
		}
	}
	kinds := (&schemas.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range kinds.Len() {
		kind := string(kinds.Get(i).Name())
		switch why := ungolden[kind]; {
		case why != "" && has[kind] != "":
			t.Errorf("%s has the event %s: remove it from ungolden", has[kind], kind)
		case why == "" && has[kind] == "":
			t.Errorf("no journal of testdata/replay has the event %s: write one whose replay is right, and one that must stop, or give a reason in ungolden", kind)
		}
	}
}

// laterHandlers are the programs of testdata/replay with what came after the first
// verbs.
var laterHandlers = map[string]Handler{
	// attached waits for an order that something else has started, for a day.
	"attached": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		f := c.Attach("order", warehouse.Run("order-17"))
		if i, err := c.Wait(f, c.After("limit", 24*time.Hour)); i != 0 {
			return &schemas.Payload{Data: []byte("late")}, err
		}
		return f.Outcome()
	},
	// calls is attached that calls instead.
	"calls": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c, func() *Future { return c.Call("order", Target{Identity: warehouse, ID: "order-17"}, in) })
	},
	// elsewhere-attached waits for another order.
	"elsewhere-attached": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c, func() *Future { return c.Attach("order", warehouse.Run("order-18")) })
	},
	// parent starts a child that is its own, and one that is not, and waits for both.
	"parent": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		own := c.Start("own", Target{Identity: warehouse}, in)
		c.Start("detached", Target{Identity: warehouse, Detached: true}, in)
		return sequence(c, func() *Future { return own })
	},
	// freeing starts a child that a cancellation does not reach, and waits for an hour.
	"freeing": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		c.WithoutCancel().Start("kept", Target{Identity: warehouse}, in)
		return sequence(c, func() *Future { return c.After("sleep", time.Hour) })
	},
	// pays pays once.
	"pays": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c, func() *Future { return c.Step("pay", nil, StepOptions{Once: true}) })
	},
	// tells tells the ledger, and waits a day.
	"tells": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c, func() *Future { return c.Send("tell", Target{Identity: ledger}, in) }, func() *Future { return c.After("sleep", 24*time.Hour) })
	},
	// tells-twice tells the ledger, sleeps, and tells it again.
	"tells-twice": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		c.Send("tell", Target{Identity: ledger}, in)
		if _, err := sequence(c, func() *Future { return c.After("sleep", 24*time.Hour) }); err != nil {
			return nil, err
		}
		c.Send("tell", Target{Identity: ledger}, in)
		return sequence(c, func() *Future { return c.Step("round", nil, StepOptions{}) })
	},
	// imports imports, and says meanwhile how far it is.
	"imports": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c, func() *Future { return c.Step("import", nil, StepOptions{}) }, func() *Future { return c.Step("report", nil, StepOptions{}) })
	},
	// updated waits for an address, which is checked by a step, and shows it.
	"updated": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		address := ""
		c.HandleUpdate("move", UpdateHandler{Handle: func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
			p, err := sequence(c, func() *Future { return c.Step("check", nil, StepOptions{}) })
			if err == nil {
				address = string(in.GetData())
			}
			return p, err
		}})
		if _, err := c.Wait(c.Until("address", func() bool { return address != "" })); err != nil {
			return nil, err
		}
		c.SetStatus(&schemas.Payload{Data: []byte("moved")})
		if err := c.SetAttribute("city", &schemas.Attribute{Value: &schemas.Attribute_Text{Text: address}}); err != nil {
			return nil, err
		}
		return sequence(c, func() *Future { return c.Step("send", nil, StepOptions{}) })
	},
	// asks asks whether it may refund, for an hour.
	"asks": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		d, cancel := c.WithTimeout(time.Hour)
		defer cancel()
		p, err := sequence(d, func() *Future {
			return d.Ask(&schemas.Asked{Name: "refund", Question: &schemas.Payload{Data: []byte("50?")}})
		})
		if err != nil {
			return sequence(c, func() *Future { return c.Step("complain", nil, StepOptions{}) })
		}
		return p, nil
	},
	// rounds counts down, one a generation.
	"rounds": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		n := string(in.GetData())
		if _, err := sequence(c, func() *Future { return c.Step("round-"+n, nil, StepOptions{}) }); err != nil || n == "0" {
			return &schemas.Payload{Data: fmt.Appendf(nil, "in generation %d", c.Info().Generation)}, err
		}
		return nil, c.ContinueAsNew(&schemas.Payload{Data: []byte{n[0] - 1}})
	},
}
