package broker_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// overheard returns the requests to JetStream's API that the connection of of made
// while fn ran: what is asked, without of what, in order.
func overheard(t *testing.T, url string, of func() *nats.Conn, fn func()) (asked []string) {
	t.Helper()
	nc, err := nats.Connect(url)
	must(t, err)
	defer nc.Close()
	sub, err := nc.SubscribeSync("$JS.API.>")
	must(t, err)
	must(t, nc.Flush())
	fn()
	const end = "$JS.API.THE.END"
	must(t, of().Publish(end, nil)) // on the same connection, so behind them
	for {
		m, err := sub.NextMsg(testWait)
		must(t, err)
		if m.Subject == end {
			return asked
		}
		what := strings.Split(strings.TrimPrefix(m.Subject, "$JS.API."), ".")
		asked = append(asked, strings.Join(what[:min(2, len(what))], "."))
	}
}

// A start takes every partition, so it counts what each costs.
func TestTake_AsksForConsumersOnlyWhereThereIsOne(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	r := connected(t, srv.URL())
	take := func(epoch uint64) []string {
		return overheard(t, srv.URL(), r.b.Conn, func() { broker.Whole(r.take(7, epoch)) })
	}
	if diff := cmp.Diff([]string{"CONSUMER.CREATE", "CONSUMER.CREATE"}, take(1)); diff != "" {
		t.Errorf("nobody has the partition (-want +got):\n%s", diff)
	}
	one := []string{"CONSUMER.CREATE", "CONSUMER.NAMES", "CONSUMER.DELETE", "CONSUMER.CREATE"}
	if diff := cmp.Diff(slices.Concat(one, one), take(2)); diff != "" {
		t.Errorf("an epoch before has it (-want +got):\n%s", diff)
	}
}

func TestOpen_AsksForEachStreamOnce(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	connected(t, srv.URL()) // makes them
	var b *broker.Broker
	asked := overheard(t, srv.URL(), func() *nats.Conn { return b.Conn() }, func() {
		b = brokertest.Connect(t, srv.URL(), kinds)
	})
	count := map[string]int{}
	for _, a := range asked {
		count[a]++
	}
	// Six streams that all pools share, and the two of this one, which are compared
	// with what kinds there are.
	if count["STREAM.CREATE"] != 6 || count["STREAM.INFO"] != 2 {
		t.Errorf("%v: want six streams asked for by STREAM.CREATE, two by STREAM.INFO", count)
	}
	if b.Created().IsZero() {
		t.Error("it is not known when the inbox was made")
	}
	id := schemas.Identity{Kind: "wf", Key: "k"}
	if _, err := b.Inbox().Take(t.Context(), b.Names().Partition(id), 1); err != nil {
		t.Error(err)
	}
}
