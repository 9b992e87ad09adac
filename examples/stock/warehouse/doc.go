// Package warehouse has a virtual actor for each article: it keeps how many
// are left, and reserves them one order at a time.
//
//	taken, err := perdure.Call(ctx, client, warehouse.Reserve.At("sku-1"), warehouse.Take{Count: 2})
package warehouse
