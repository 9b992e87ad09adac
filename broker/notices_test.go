package broker_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// watchAll watches n runs of a kind at the same time.
func watchAll(t *testing.T, b *broker.Broker, kind string, n int) (refs []schemas.Ref, watches []*broker.Watch) {
	t.Helper()
	watches = make([]*broker.Watch, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		ref := identity(kind, fmt.Sprint("k", i)).Run("run")
		refs = append(refs, ref)
		wg.Go(func() { watches[i], errs[i] = b.Done().Watch(t.Context(), ref) })
	}
	wg.Wait()
	for _, err := range errs {
		must(t, err)
	}
	return refs, watches
}

// expectNotices notifies of every run and expects that each watch hears of its
// own.
func expectNotices(t *testing.T, b *broker.Broker, refs []schemas.Ref, watches []*broker.Watch) {
	t.Helper()
	for _, ref := range refs {
		must(t, b.Done().Notify(ref, []byte(ref.String())))
	}
	for i, w := range watches {
		got, err := w.Next(t.Context())
		must(t, err)
		if string(got) != refs[i].String() {
			t.Errorf("the watch of %v heard of %s", refs[i], got)
		}
	}
}

// P23: watches that share a subscription hear of their own runs, each of every
// notice from when its watch began, and two of the same run both.
func TestP23_SharedWatches(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	before := r.b.Conn().NumSubscriptions()
	refs, watches := watchAll(t, r.b, "wf", 50)
	if got := r.b.Conn().NumSubscriptions() - before; got != 1 {
		t.Errorf("50 watches of a kind have %d subscriptions, want 1", got)
	}
	again, err := r.b.Done().Watch(r.ctx, refs[0])
	must(t, err)
	other, otherWatches := watchAll(t, r.b, "actor", 1)
	expectNotices(t, r.b, append(refs, other...), append(watches, otherWatches...))
	if got, err := again.Next(r.ctx); err != nil || string(got) != refs[0].String() {
		t.Errorf("a second watch of %v heard %q, %v", refs[0], got, err)
	}
	for _, w := range append(watches, again) {
		w.Stop()
		w.Stop()
	}
	refs, watches = watchAll(t, r.b, "wf", 1)
	expectNotices(t, r.b, refs, watches)
}

// A client of an external server shares from some watches of a kind on, and
// hears nothing of runs that it does not watch once it watches few.
func TestSharedWatchesOfAClient(t *testing.T) {
	t.Parallel()
	b := brokertest.Connect(t, brokertest.Server(t).URL())
	before := b.Conn().NumSubscriptions()
	subscriptions := func() int { return b.Conn().NumSubscriptions() - before }
	refs, watches := watchAll(t, b, "wf", 3)
	if got := subscriptions(); got != 3 {
		t.Errorf("3 watches have %d subscriptions, want one each", got)
	}
	more, moreWatches := watchAll(t, b, "wf", 40)
	if got := subscriptions(); got >= 40 {
		t.Errorf("43 watches of a kind have %d subscriptions, want a shared one", got)
	}
	expectNotices(t, b, append(refs, more...), append(watches, moreWatches...))
	for _, w := range moreWatches {
		w.Stop()
	}
	if got := subscriptions(); got != 3 {
		t.Errorf("%d subscriptions after all but 3 watches have ended, want 3", got)
	}
	for _, w := range watches {
		w.Stop()
	}
	if got := subscriptions(); got != 0 {
		t.Errorf("%d subscriptions after all watches have ended", got)
	}
	refs, watches = watchAll(t, b, "wf", 2)
	expectNotices(t, b, refs, watches)
}
