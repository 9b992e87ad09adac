package broker_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// denies says that an error is of a permission that is missing, with what is to be done.
func denies(t *testing.T, what string, err error, subject string) {
	t.Helper()
	var d *broker.Denied
	if !errors.Is(err, broker.ErrDenied) || !errors.As(err, &d) || !strings.HasPrefix(d.Subject, subject) || !strings.Contains(err.Error(), "perdure doctor") {
		t.Errorf("%s: %v, want that %s is not allowed", what, err, subject)
	}
}

// A node that lacks a permission does not open, and says which; it does not wait for an
// answer that never comes.
func TestOpen_NamesThePermissionThatIsMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ permissions, subject string }{
		{`publish: {deny: ["$JS.API.INFO"]}`, "$JS.API.INFO"},
		{`publish: {deny: ["$JS.API.STREAM.CREATE.*"]}`, "$JS.API.STREAM.CREATE."},
		{`publish: {deny: ["$JS.API.STREAM.>"]}`, "$JS.API.STREAM."},
		{`publish: {deny: ["$KV.perdure_cluster.>"]}`, "$KV.perdure_cluster."},
		{`publish: {deny: ["$JS.ACK.>"]}`, "$JS.ACK."},
		{`publish: {deny: ["$JS.API.CONSUMER.MSG.NEXT.>"]}`, "$JS.API.CONSUMER.MSG.NEXT."},
		{`publish: {deny: ["perdure.done.>"]}`, "perdure.done."},
		{`publish: {deny: ["perdure.live.>"]}`, "perdure.live."},
		{`publish: {deny: ["_INBOX.>"]}`, "_INBOX."},
		{`subscribe: {deny: ["_INBOX.>"]}`, "_INBOX."},
		{`subscribe: {deny: ["perdure.api.>"]}`, "perdure.api."},
		{`subscribe: {deny: ["$SRV.>"]}`, "$SRV."},
	} {
		t.Run(c.permissions, func(t *testing.T) {
			t.Parallel()
			srv := brokertest.Server(t, conf("enabled", fmt.Sprintf(", permissions: {%s}", c.permissions)))
			cfg := broker.Config{URL: srv.URL(), Kinds: []schemas.Kind{"stock"}, Logger: slog.New(slog.DiscardHandler)}
			as("some")(&cfg)
			began := time.Now()
			b, err := broker.Open(t.Context(), cfg)
			if err == nil {
				b.Close()
			}
			denies(t, c.permissions, err, c.subject)
			t.Log(time.Since(began).Round(time.Millisecond), err)
		})
	}
}

// A connection of the caller's is not listened to: an answer that does not come is.
func TestOpen_NamesThePermissionThatACallersConnectionLacks(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t, conf("enabled", `, permissions: {publish: {deny: ["$JS.API.>"]}}`))
	nc, err := nats.Connect(srv.URL(), nats.UserInfo("some", "pw"), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_, err = broker.Open(t.Context(), broker.Config{Conn: nc, Kinds: []schemas.Kind{"stock"}, Logger: slog.New(slog.DiscardHandler)})
	denies(t, "the caller's connection", err, "$JS.API.INFO")
}

// What a client may not do it is told at once; what was done before goes on.
func TestDenied_AClientIsToldAtOnce(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t, conf("enabled", `, permissions: {publish: {deny: ["perdure.task.>", "perdure.api.>", "perdure.node.>", "$JS.API.DIRECT.GET.perdure_RUNS"]}, subscribe: {deny: ["perdure.done.>"]}}`))
	brokertest.Connect(t, srv.URL(), brokertest.Kinds("stock"), as("node"))
	b := brokertest.Connect(t, srv.URL(), as("some"), func(c *broker.Config) { c.ClientOnly = true })
	ctx := t.Context()
	id := schemas.Identity{Kind: "stock", Key: "k"}
	_, err := b.Inbox().Publish(ctx, schemas.LocalDomain, id, task("1"))
	denies(t, "publish", err, "perdure.task.")
	_, _, err = b.Request(ctx, "runs.get", nil, true)
	denies(t, "ask the API", err, "perdure.api.runs.get")
	_, _, err = b.Request(ctx, "runs.get", nil, false)
	denies(t, "ask the API once", err, "perdure.api.runs.get")
	_, _, err = b.Probe(ctx, "alder")
	denies(t, "ask a node", err, "perdure.node.alder")
	_, err = b.Done().Watch(ctx, id.Run("r"))
	denies(t, "watch", err, "perdure.done.")
	if _, err := b.ClockSkew(ctx); err != nil {
		t.Errorf("what is allowed: %v", err)
	}
}
