package durable

import "github.com/perdure/perdure/runtime"

// Share is the kind's part of what a node can do, beside those of the other kinds that
// it hosts: while more runs wait than can go on, a kind with a share of 3 gets three
// times as much as one with 1, which is what a kind has that says nothing. A share that
// nobody needs is the others'. It is at least 1 and at most 1,000.
//
//	durable.Workflow(Fulfil, fulfil, durable.Share(3))
//
// Wrong: a share to make a kind fast while there is room for all; then nobody waits.
func Share(n int) KindOption {
	return func(k *runtime.Kind) {
		if n < 1 || n > 1000 {
			k.Errs = append(k.Errs, Fail(ErrInvalid.Code, "a share of %d was asked for; it is at least 1, and at most 1000", n))
			return
		}
		k.Share = n
	}
}

// FairBy says which tenant an identity of the kind belongs to, by its key: while more
// runs wait than can go on, tenants get the same of what the kind gets, whichever sends
// more. It is called for each task, so it is to be quick, and says the same of a key
// each time. The keys that it panics for have one tenant, whose name is empty; the log of
// a node says so once. Without it, the trust domains that tasks come from are the tenants.
//
//	durable.Workflow(Fulfil, fulfil, durable.FairBy(func(key string) string {
//		customer, _, _ := strings.Cut(key, "/")
//		return customer
//	}))
//
// How many runs of a tenant go on at once across all nodes is bounded by [Concurrency],
// with [LimitBy] or [Tenant].
func FairBy(tenant func(key string) string) KindOption {
	return func(k *runtime.Kind) {
		if tenant == nil {
			k.Errs = append(k.Errs, Fail(ErrInvalid.Code, "FairBy was given no function; give it one that names the tenant of a key"))
			return
		}
		k.FairBy = tenant
	}
}
