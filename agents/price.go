package agents

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/perdure/perdure/durable"
)

// A Price is what a model costs, in US dollars per million tokens.
type Price struct {
	Input  float64 `json:"input"`
	Output float64 `json:"output"` // reasoning included
	// Cached is of input tokens that the provider had read before; nil: as the others.
	Cached *float64 `json:"cached,omitempty"`
}

func (p Price) cached() float64 {
	if p.Cached == nil {
		return p.Input
	}
	return *p.Cached
}

// A PriceTable has the prices of models by name. A name stands for its dated versions,
// too: "gpt-5-mini" for "gpt-5-mini-2025-08-07".
type PriceTable map[string]Price

//go:embed prices.json
var publishedPrices []byte

// published are the prices that come with this package.
var published = sync.OnceValue(func() PriceTable {
	t, err := readPrices(publishedPrices)
	if err != nil {
		panic("agents: prices.json: " + err.Error())
	}
	return t
})

// PublishedPrices returns the prices that come with this package, of some models, written
// down by hand as of the time that prices.json says. They change without notice: see
// [Prices].
func PublishedPrices() PriceTable { return maps.Clone(published()) }

// ReadPrices reads a price table from a JSON file of the form of prices.json, {"models":
// {"NAME": {"input": ..., "cached": ..., "output": ...}}}. The error is that of the file,
// or [durable.ErrInvalid].
func ReadPrices(file string) (PriceTable, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	t, err := readPrices(data)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "prices in %s: %v", file, err)
	}
	return t, nil
}

func readPrices(data []byte) (PriceTable, error) {
	var file struct {
		Models PriceTable `json:"models"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if len(file.Models) == 0 {
		return nil, fmt.Errorf(`there is no model; give some as {"models": {"NAME": {"input": 1.25, "output": 10}}}`)
	}
	return file.Models, file.Models.validate()
}

func (t PriceTable) validate() error {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		p := t[name]
		for _, v := range []float64{p.Input, p.cached(), p.Output} {
			if !(v >= 0 && v <= 1e6) || math.IsNaN(v) {
				return fmt.Errorf("the price of %q is %g; give US dollars per million tokens", name, v)
			}
		}
	}
	return nil
}

// Prices gives an agent prices of models, in place of the published ones of the same
// names. They are what a [Budget] of money counts by, and what the steps of model calls
// are annotated with as cost_usd. A model that costs nothing has a price of zero.
//
//	agents.Prices(agents.PriceTable{"my-model": {Input: 0.2, Output: 0.8}})
func Prices(t PriceTable) Option {
	return func(a *agent) {
		if err := t.validate(); err != nil {
			a.bad("Prices: %v", err)
		}
		if a.prices == nil {
			a.prices = PublishedPrices()
		}
		maps.Copy(a.prices, t)
	}
}

func (t PriceTable) has(model string) bool {
	_, ok := t.of(model)
	return ok
}

// of returns the price of a model: that of its name, or of the longest name of which it is
// a dated version.
func (t PriceTable) of(model string) (Price, bool) {
	for name := model; name != ""; {
		if p, ok := t[name]; ok {
			return p, true
		}
		i := strings.LastIndexByte(name, '-')
		if i < 0 || strings.Trim(name[i+1:], "0123456789") != "" && name[i+1:] != "latest" {
			break
		}
		name = name[:i]
	}
	return Price{}, false
}
