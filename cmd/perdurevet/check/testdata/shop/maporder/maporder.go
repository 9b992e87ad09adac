// Package maporder is about maps whose order feeds steps.
package maporder

import (
	"context"
	"maps"
	"slices"
	"sort"
	"sync"

	"example.com/shop/price"
	"example.com/shop/wrap"
	"github.com/perdure/perdure/durable"
)

var sub = durable.Declare[[]string, int]("sub.go")

func ship(ctx durable.Context, sku string) error {
	_, err := durable.Step(ctx, "ship", func(context.Context) (int, error) { return len(sku), nil })
	return err
}

func free(ctx durable.Context, sku string) string { return ctx.Info().Key + sku }

func bad(ctx durable.Context, m map[string]int) (int, error) {
	for sku := range m { // want `^bad calls durable verbs in the order of a map: .*slices.Sorted\(maps.Keys\(m\)\)`
		if err := ship(ctx, sku); err != nil {
			return 0, err
		}
	}
	for sku := range maps.Keys(m) { // want `calls durable verbs in the order of a map`
		_ = ship(ctx, sku)
	}
	for range m {
		_ = ship(ctx, "any")
	}
	var ids []string
	for range m {
		ids = append(ids, "x")
	}
	ids = nil
	for sku := range m { // want `in the order of a map`
		ids = append(ids, durable.NewID(ctx)+sku)
	}
	var s sync.Map
	s.Range(func(k, v any) bool { return ship(ctx, "x") == nil }) // want `in the order of a map`
	var skus []string
	for sku := range m {
		skus = append(skus, sku)
	}
	for _, sku := range skus { // want `in the order of a map`
		_ = ship(ctx, sku)
	}
	_, _ = durable.Call(ctx, sub.At("x"), skus) // want `gives a durable verb skus, which has the order of a map`
	far := price.SKUs(m)
	for _, sku := range far { // want `in the order of a map`
		_ = ship(ctx, sku)
	}
	for _, sku := range price.Keys(m) { // want `in the order of a map`
		_ = ship(ctx, sku)
	}
	_, err := durable.Map(ctx, "ship", slices.Collect(maps.Keys(m)), 1, func(context.Context, string) (int, error) { return 0, nil }) // want `gives a durable verb the keys or values of a map, in its order`
	return 0, err
}

func good(ctx durable.Context, m map[string]int) (int, error) {
	sum := 0
	for sku, n := range m {
		_ = durable.SetAttribute(ctx, sku, n)
		sum += n + len(free(ctx, sku)) + wrap.Here(ctx, func() int { return n })
	}
	for _, sku := range slices.Sorted(maps.Keys(m)) {
		_ = ship(ctx, sku)
	}
	var skus []string
	for sku := range m {
		skus = append(skus, sku)
	}
	_ = durable.Sleep(ctx, 1)
	_, _ = durable.Step(ctx, "count", func(context.Context) (int, error) { return len(skus), nil })
	sort.Strings(skus)
	for _, sku := range skus {
		_ = ship(ctx, sku)
	}
	_, _ = durable.Call(ctx, sub.At("x"), skus)
	for _, sku := range price.Sorted(m) {
		_ = ship(ctx, sku)
	}
	keys := slices.Collect(maps.Keys(m))
	slices.Sort(keys)
	for _, sku := range keys {
		_ = ship(ctx, sku)
	}
	other := price.SKUs(m)
	for range other {
		_ = ship(ctx, "x")
	}
	futures := map[string]*durable.Future[int]{}
	for _, sku := range keys {
		futures[sku] = durable.StepAsync(ctx, sku, func(context.Context) (int, error) { return 1, nil })
	}
	for _, f := range futures {
		n, err := f.Result(ctx)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	_, err := durable.Step(ctx, "all", func(ctx context.Context) (int, error) {
		n := 0
		for sku := range m {
			n += len(sku)
		}
		return n, nil
	})
	return sum, err
}

// kinds is no workflow code: it makes some.
func kinds(m map[string]int) (out []*durable.Kind) { // want kinds:"map order"
	for name := range m {
		out = append(out, durable.Workflow(durable.DeclareWorkflow[int, int](name), func(ctx durable.Context, n int) (int, error) {
			return n, durable.Sleep(ctx, 1)
		}))
	}
	return out
}
