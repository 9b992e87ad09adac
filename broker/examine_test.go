package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// examine looks at a server, and returns the findings by what was looked at.
func examine(t *testing.T, cfg broker.Config) (map[string]broker.CheckResult, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all, whole := broker.Examine(ctx, cfg)
	return byCheck(t, all), whole
}

func byCheck(t *testing.T, all []broker.CheckResult) map[string]broker.CheckResult {
	t.Helper()
	found := map[string]broker.CheckResult{}
	for _, f := range all {
		if (f.Do == "") != (f.Status == broker.OK) || f.Found == "" {
			t.Errorf("it says what to do if, and only if, something is to be done: %+v", f)
		}
		found[f.Check] = f
	}
	return found
}

// want says that a finding is so, and that what it found and says to do has all the words.
func want(t *testing.T, found map[string]broker.CheckResult, check string, status broker.CheckStatus, words ...string) {
	t.Helper()
	f, ok := found[check]
	if !ok {
		t.Errorf("nobody looked at %q, but at %v", check, found)
		return
	}
	if f.Status != status {
		t.Errorf("%+v, want %s", f, status)
	}
	for _, w := range words {
		if !strings.Contains(f.Found+" -> "+f.Do, w) {
			t.Errorf("%+v does not say %q", f, w)
		}
	}
}

// conf is accounts with a user each: node may do everything, some what the text says.
func conf(account, user string) func(*brokertest.ServerConfig) {
	return func(c *brokertest.ServerConfig) {
		c.Conf = fmt.Sprintf(`accounts { A { jetstream: %s, users: [{user: node, password: pw}, {user: some, password: pw %s}] } }`, account, user)
	}
}

func as(user string) brokertest.Option {
	return func(c *broker.Config) { c.Options = append(c.Options, nats.UserInfo(user, "pw")) }
}

func TestExamine_FindsNothingWrong(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	b := brokertest.Connect(t, srv.URL(), brokertest.Kinds("stock"))
	if err := brokertest.Foreign(t.Context(), b, schemas.Identity{Kind: "stock", Key: "k"}, nil, "{}"); err != nil {
		t.Fatal(err)
	}
	before := streamsOf(t, b)
	found, whole := examine(t, broker.Config{URL: srv.URL(), Durability: broker.Process})
	for check, f := range found {
		if f.Status != broker.OK && check != "durability" {
			t.Errorf("%+v", f)
		}
	}
	if !whole {
		t.Error("it is not whole")
	}
	want(t, found, "durability", broker.Warn, "sync_interval")
	want(t, found, "inbox of pool default", broker.OK, "1 messages wait or are worked on, of 1000000")
	if diff := cmp.Diff(before, streamsOf(t, b)); diff != "" {
		t.Errorf("it was not harmless (-before +after):\n%s", diff)
	}
}

// streamsOf is what the streams hold, as a program sees it that knows nothing of them.
func streamsOf(t *testing.T, b *broker.Broker) map[string]any {
	t.Helper()
	data, err := brokertest.Request(t.Context(), b, "$JS.API.STREAM.LIST", "{}")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Streams []struct {
			Config map[string]any `json:"config"`
			State  map[string]any `json:"state"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(data, &list); err != nil || len(list.Streams) == 0 {
		t.Fatalf("%v: %s", err, data)
	}
	all := map[string]any{}
	for _, s := range list.Streams {
		all[fmt.Sprint(s.Config["name"])] = []any{s.Config, s.State}
	}
	return all
}

func TestExamine_ServersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	bare := brokertest.Server(t, func(c *brokertest.ServerConfig) { c.NoJetStream = true })
	found, whole := examine(t, broker.Config{URL: bare.URL()})
	want(t, found, "connection", broker.OK)
	want(t, found, "jetstream", broker.Fail, "not enabled", "jetstream { store_dir")
	if whole {
		t.Error("it is whole without JetStream")
	}
	closed := brokertest.Server(t, conf("enabled", ""))
	found, _ = examine(t, broker.Config{URL: closed.URL()})
	want(t, found, "connection", broker.Fail, "Authorization Violation", "credentials.*")
	found, _ = examine(t, broker.Config{URL: closed.URL(), Options: []nats.Option{nats.UserInfo("node", "pw"), nats.Secure()}})
	want(t, found, "connection", broker.Fail)
	closed.Kill()
	found, _ = examine(t, broker.Config{URL: closed.URL()})
	want(t, found, "connection", broker.Fail, "start the server")

	without := brokertest.Server(t, func(c *brokertest.ServerConfig) {
		c.Conf = `accounts { A { jetstream: enabled, users: [{user: a, password: a}] }, B { users: [{user: node, password: pw}] } }`
	})
	found, _ = examine(t, broker.Config{URL: without.URL(), Options: []nats.Option{nats.UserInfo("node", "pw")}})
	want(t, found, "jetstream", broker.Fail, "for this account")

	small := brokertest.Server(t, func(c *brokertest.ServerConfig) { c.MaxPayload = 64 << 10 })
	found, whole = examine(t, broker.Config{URL: small.URL()})
	want(t, found, "message size", broker.Warn, "64 KiB", "max_payload")
	want(t, found, "namespace perdure", broker.Warn, "it is not there", "start a node")
	if whole {
		t.Error("it is whole without a namespace")
	}
}

func TestExamine_LimitsOfAnAccount(t *testing.T) {
	t.Parallel()
	for limits, words := range map[string]struct {
		status broker.CheckStatus
		say    []string
	}{
		"enabled":                                 {broker.OK, []string{"no limit"}},
		"{max_file: 1GB}":                         {broker.Warn, []string{"of 1 GiB", "does not fire"}},
		"{max_file: 1GB, max_streams: 3}":         {broker.Fail, []string{"streams 0 of 3", "raise max_streams"}},
		"{max_consumers: 10}":                     {broker.Fail, []string{"consumers 0 of 10", "raise max_consumers: a pool needs 128"}},
		"{max_ack_pending: 500}":                  {broker.Fail, []string{"remove max_ack_pending, which is 500"}},
		"{max_file: 1GB, max_stream_bytes: true}": {broker.Fail, []string{"max_bytes_required"}},
	} {
		t.Run(limits, func(t *testing.T) {
			t.Parallel()
			srv := brokertest.Server(t, conf(limits, ""))
			found, _ := examine(t, broker.Config{URL: srv.URL(), Options: []nats.Option{nats.UserInfo("node", "pw")}})
			want(t, found, "jetstream", words.status, words.say...)
		})
	}
}

func TestExamine_ALimitThatIsNearlyReached(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t, conf("{max_file: 200KB}", ""))
	b := brokertest.Connect(t, srv.URL(), brokertest.Kinds("stock"), as("node"))
	if err := brokertest.Foreign(t.Context(), b, schemas.Identity{Kind: "stock", Key: "k"}, nil, `"`+strings.Repeat("x", 185_000)+`"`); err != nil {
		t.Fatal(err)
	}
	found, _ := examine(t, broker.Config{URL: srv.URL(), Options: []nats.Option{nats.UserInfo("node", "pw")}})
	want(t, found, "jetstream", broker.Fail, "of 200 KiB", "raise the limit of storage now")
}

func TestExamine_PermissionsThatAreMissing(t *testing.T) {
	t.Parallel()
	for permissions, words := range map[string][]string{
		`, permissions: {publish: {deny: ["perdure.run.>"]}}`:                                                                             {"may not publish on perdure.run.", "allow the user to publish on perdure.>"},
		`, permissions: {publish: {deny: ["$JS.API.CONSUMER.>"]}}`:                                                                        {"may not publish on $JS.API.CONSUMER.CREATE.perdure_RUNS.perdure-doctor", "and 1 more", "publish on $JS.API.>"},
		`, permissions: {publish: {deny: ["$KV.perdure_cluster.>", "$JS.ACK.>"]}}`:                                                        {"$KV.perdure_cluster.perdure-doctor", "publish on $JS.ACK.>, $KV.perdure_cluster.>"},
		`, permissions: {subscribe: {allow: ["_INBOX.>", "perdure.done.>"]}}`:                                                             {"may not subscribe to perdure.node.perdure-doctor", "subscribe to perdure.>, $SRV.> and _INBOX.>"},
		`, permissions: {publish: {deny: ["_INBOX.>"]}}`:                                                                                  {"may not publish on _INBOX.> (it cannot answer requests)", "publish on _INBOX.>"},
		`, permissions: {publish: {allow: ["perdure.>", "$JS.>", "$KV.>"]}, allow_responses: true, subscribe: {deny: ["perdure.api.>"]}}`: {"this user may not subscribe to perdure.api.perdure-doctor"},
	} {
		t.Run(permissions, func(t *testing.T) {
			t.Parallel()
			srv := brokertest.Server(t, conf("enabled", permissions))
			brokertest.Connect(t, srv.URL(), brokertest.Kinds("stock"), as("node"))
			found, _ := examine(t, broker.Config{URL: srv.URL(), Options: []nats.Option{nats.UserInfo("some", "pw")}})
			want(t, found, "permissions", broker.Fail, words...)
			found, _ = examine(t, broker.Config{URL: srv.URL(), Options: []nats.Option{nats.UserInfo("node", "pw")}})
			want(t, found, "permissions", broker.OK)
		})
	}
	srv := brokertest.Server(t, conf("enabled", `, permissions: {subscribe: {deny: ["_INBOX.>"]}}`))
	found, whole := examine(t, broker.Config{URL: srv.URL(), Options: []nats.Option{nats.UserInfo("some", "pw")}})
	want(t, found, "answers", broker.Fail, "allow it to subscribe to _INBOX.>")
	if whole {
		t.Error("it is whole without answers")
	}
}

func TestExamine_StreamsThatDiffer(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	b := brokertest.Connect(t, srv.URL(), brokertest.Kinds("stock"), func(c *broker.Config) { c.MaxWaiting = 2 })
	for i := range 2 {
		if err := brokertest.Foreign(t.Context(), b, schemas.Identity{Kind: "stock", Key: fmt.Sprint(i)}, nil, "{}"); err != nil {
			t.Fatal(err)
		}
	}
	edit(t, b, "perdure_RUNS", func(c map[string]any) { c["max_age"] = int64(time.Hour) })
	if _, err := brokertest.Request(t.Context(), b, "$JS.API.STREAM.DELETE.perdure_ARCHIVE", ""); err != nil {
		t.Fatal(err)
	}
	found, whole := examine(t, broker.Config{URL: srv.URL()})
	want(t, found, "stream perdure_RUNS", broker.Fail, "it has a limit of age", "nats stream edit perdure_RUNS")
	want(t, found, "stream perdure_ARCHIVE", broker.Fail, "it is not there", "backup")
	want(t, found, "stream perdure_BLOBS", broker.OK)
	want(t, found, "inbox of pool default", broker.Fail, "2 messages wait or are worked on, of 2 that may", "max_waiting")
	if whole {
		t.Error("it is whole without a stream")
	}

	found, _ = examine(t, broker.Config{URL: srv.URL(), Durability: broker.Quorum})
	want(t, found, "stream perdure_BLOBS", broker.Fail, "has 1 replicas, and durability quorum needs 3", "see 'cluster'")
	want(t, found, "durability", broker.Fail, "a stream is on 1")
	found, _ = examine(t, broker.Config{URL: srv.URL(), Replicas: 3})
	want(t, found, "stream perdure_BLOBS", broker.Warn, "replicas 1, where 3 are configured", "see 'cluster'")
	want(t, found, "cluster", broker.Fail, "3 replicas are configured, and one server holds 1")
}

// One server cannot give quorum, which is said before there is a namespace, too.
func TestExamine_OneServerGivesNoQuorum(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	for _, state := range []string{"before there is a namespace", "with one"} {
		found, _ := examine(t, broker.Config{URL: srv.URL()})
		want(t, found, "cluster", broker.OK, "one server")
		found, _ = examine(t, broker.Config{URL: srv.URL(), Durability: broker.Quorum})
		want(t, found, "cluster", broker.Fail, "one server cannot give it", "run three servers", "configure durability disk")
		if t.Failed() {
			t.Fatal(state)
		}
		brokertest.Connect(t, srv.URL())
	}
}

// edit changes the configuration of a stream, as an operator does.
func edit(t *testing.T, b *broker.Broker, stream string, change func(map[string]any)) {
	t.Helper()
	data, err := brokertest.Request(t.Context(), b, "$JS.API.STREAM.INFO."+stream, "")
	var info struct {
		Config map[string]any `json:"config"`
	}
	if err == nil {
		err = json.Unmarshal(data, &info)
	}
	if err != nil {
		t.Fatal(err)
	}
	change(info.Config)
	body, err := json.Marshal(info.Config)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = brokertest.Request(t.Context(), b, "$JS.API.STREAM.UPDATE."+stream, string(body)); err != nil || strings.Contains(string(data), `"error"`) {
		t.Fatalf("%v: %s", err, data)
	}
}

func TestExamine_ClocksThatDiffer(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	brokertest.Connect(t, srv.URL())
	for _, c := range []struct {
		behind time.Duration
		status broker.CheckStatus
		say    string
	}{
		{0, broker.OK, "server is "},
		{-time.Minute, broker.Fail, "behind -> set the clocks"},
		{time.Minute, broker.Fail, "ahead -> set the clocks"},
		{600 * time.Millisecond, broker.Warn, "ahead -> keep the clocks set"},
	} {
		all, _ := broker.ExamineAt(t.Context(), broker.Config{URL: srv.URL()}, func() time.Time { return time.Now().Add(-c.behind) })
		want(t, byCheck(t, all), "clock", c.status, c.say)
	}
}

func TestExamine_AClusterThatMissesAServer(t *testing.T) {
	t.Parallel()
	g := brokertest.Cluster(t)
	quorum := func(c *broker.Config) { c.Durability = broker.Quorum }
	if found, _ := examine(t, broker.Config{URL: g.URL(), Durability: broker.Quorum}); found["cluster"].Status == broker.Fail {
		t.Errorf("before there is a namespace: %+v", found["cluster"])
	}
	brokertest.Connect(t, g.URL(), brokertest.Kinds("stock"), quorum)
	cfg := broker.Config{URL: g.URL(), Durability: broker.Quorum}
	found, whole := examine(t, cfg)
	want(t, found, "cluster", broker.OK, "server1 (leads", "server2 (leads", "server3 (leads")
	want(t, found, "durability", broker.OK, "quorum: on a majority of 3 servers")
	if !whole {
		t.Error("it is not whole")
	}
	g.Servers[0].Kill()
	var missed []broker.CheckResult
	for end := time.Now().Add(time.Minute / 2); ; { // until the others have noticed
		missed, _ = broker.Examine(t.Context(), cfg)
		if strings.Contains(fmt.Sprint(missed), "server1 is away, which holds 8 streams") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("nobody says that a server is away: %v", missed)
		}
	}
	var warned []string
	for _, f := range missed {
		if f.Status != broker.OK {
			warned = append(warned, f.Check)
		}
	}
	if diff := cmp.Diff([]string{"cluster"}, warned); diff != "" {
		t.Errorf("it is said once (-want +got):\n%s\n%v", diff, missed)
	}
	want(t, byCheck(t, missed), "cluster", broker.Warn, "start server server1 again", "until then stop no other one")
	if diff := cmp.Diff([]string{"server1"}, byCheck(t, missed)["cluster"].Away); diff != "" {
		t.Errorf("who is away, for programs (-want +got):\n%s", diff)
	}
}
