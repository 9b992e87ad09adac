package perdure_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
)

var (
	helpdesk = durable.Declare[string, string]("helpdesk")
	poll     = durable.DeclareWorkflow[string, string]("poll")
)

type payment struct {
	Order string `json:"order"`
	Cents int    `json:"cents"`
}

// helpdeskKind is an agent that pays two orders back and asks its user something, all at
// once, and says what came of it.
func helpdeskKind(m agents.Model, paid *atomic.Int32) *durable.Kind {
	return agents.New(helpdesk, agents.UseModel(m), agents.Tools(
		agents.AskUser(agents.AskTo("customer")),
		agents.Func("refund", "Give money back", func(_ context.Context, p payment) (string, error) {
			paid.Add(1)
			return "paid " + p.Order, nil
		}, agents.NeedsApproval(func(p payment) bool { return p.Cents > 5000 }, agents.AskTo("support"), agents.EscalateTo(time.Millisecond, "managers")))))
}

func helpdeskModel(t *testing.T) *agentstest.Scripted {
	return agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return scripted.Reply{Calls: []scripted.Call{
				{Name: "refund", Arguments: scripted.Arguments(`{"order":"o-1","cents":9900}`)},
				{Name: "refund", Arguments: scripted.Arguments(`{"order":"o-2","cents":9900}`)},
				{Name: "ask_user", Arguments: scripted.Arguments(`{"question":"Which colour?","choices":["red","blue"]}`)},
			}}
		}
		var all []string
		for _, m := range r.Results() {
			all = append(all, m.Content)
		}
		return scripted.Reply{Text: strings.Join(all, "\n")}
	}}}})
}

// inbox waits until the inbox has n questions, and returns them by their numbers.
func inbox(t *testing.T, c *perdure.Client, q perdure.InboxQuery, n int) map[string]perdure.InboxItem {
	t.Helper()
	items := map[string]perdure.InboxItem{}
	eventually(t, fmt.Sprintf("%d questions wait", n), func() bool {
		page, err := c.Inbox(testContext(t), q)
		if err != nil {
			t.Fatal(err)
		}
		clear(items)
		for _, i := range page.Items {
			items[i.Path] = i
		}
		return len(page.Items) == n
	})
	return items
}

// TestPeople_ADayLaterOnAnotherNode has an agent ask three things at once; the node that
// asked ends, and another one takes the answers, in another order.
func TestPeople_ADayLaterOnAnotherNode(t *testing.T) {
	t.Parallel()
	url := brokertest.Server(t).URL()
	m := helpdeskModel(t)
	var paid atomic.Int32
	opts := []perdure.Option{perdure.Host(helpdeskKind(m, &paid)), perdure.SuspendAfter(time.Millisecond), perdure.Logger(silent)}

	first, err := perdure.Connect(testContext(t), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- first.Run(ctx) }()
	run, err := perdure.Start(testContext(t), first.Client(), helpdesk.At("anna"), "help", perdure.MessageID("h-1"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run is suspended and asks three things", func() bool {
		info, err := first.Client().Get(testContext(t), run.Ref())
		return err == nil && info.Status == "suspended" && len(info.Asks) == 3
	})
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	second := running(t, url, opts...)
	c, nc := second.Client(), plain(t, second)
	asked := inbox(t, c, perdure.InboxQuery{Kind: "helpdesk"}, 3)
	var p agents.Proposal
	if q := asked["2.1"]; json.Unmarshal(q.Question.Question, &p) != nil || p.Run != run.Ref() || p.Agent != "helpdesk" || string(p.Arguments) != `{"order":"o-1","cents":9900}` ||
		q.Ask != perdure.AskApproval || q.Tool != "refund" || q.Hash == "" || q.Hash == asked["3.1"].Hash || !q.Escalated || strings.Join(q.To, " ") != "managers support" {
		t.Errorf("the first question is %+v of %+v", q, p)
	}
	if q := asked["4.1"]; q.Ask != perdure.AskQuestion || string(q.Question.Question) != `{"question":"Which colour?","choices":["red","blue"]}` || q.Asked.IsZero() {
		t.Errorf("the last question is %+v", q)
	}
	ref := run.Ref()
	for what, err := range map[string]error{
		"an approval without a number":    c.Approve(testContext(t), ref, "refund", durable.Decision{Approved: true}),
		"a decision about a question":     c.Approve(testContext(t), ref, "ask_user", durable.Decision{Approved: true}),
		"an answer that is none of them":  c.Answer(testContext(t), ref, "ask_user", durable.Answer[any]{Value: "green"}),
		"an answer to a decision":         c.Answer(testContext(t), ref, "2.1", durable.Answer[any]{Value: "yes"}),
		"an answer of another type":       c.Answer(testContext(t), ref, "ask_user", durable.Answer[any]{Value: 7}),
		"a question that is not asked":    c.Answer(testContext(t), ref, "9.1", durable.Answer[any]{Value: "red"}),
		"a decision about another's hash": c.Approve(testContext(t), ref, "3.1", durable.Decision{Approved: true, Hash: asked["2.1"].Hash}),
	} {
		want := durable.ErrInvalid
		switch {
		case strings.HasPrefix(what, "a question"):
			want = durable.ErrNotFound
		case strings.HasPrefix(what, "a decision about another"):
			want = durable.ErrConflict
			if err == nil || !strings.Contains(err.Error(), asked["3.1"].Hash) {
				t.Errorf("the error does not name the hash of what is asked: %v", err)
			}
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %s", what, err, want.Code)
		}
	}
	if n := paid.Load(); n != 0 {
		t.Fatalf("%d were paid", n)
	}
	answered[struct{}](t, nc, "runs.answer", `{"run":"helpdesk/anna/h-1","question":"ask_user","answer":"blue","by":"anna"}`)
	inbox(t, c, perdure.InboxQuery{}, 2)
	answered[struct{}](t, nc, "runs.approve", fmt.Sprintf(`{"run":%q,"question":"refund","approved":true,"hash":%q,"by":"bob"}`, ref, asked["3.1"].Hash))
	inbox(t, c, perdure.InboxQuery{}, 1)
	if err := c.Approve(testContext(t), ref, "", durable.Decision{By: "carl", Reason: "it was delivered", Hash: asked["2.1"].Hash}); err != nil {
		t.Fatal(err)
	}
	at, err := perdure.Attach(c, helpdesk, ref)
	if err != nil {
		t.Fatal(err)
	}
	got, err := at.Result(testContext(t))
	lines := strings.Split(got, "\n")
	if err != nil || len(lines) != 3 || !strings.Contains(lines[0], "carl denied it: it was delivered") || lines[1] != "paid o-2" || lines[2] != `{"answer":"blue","by":"anna"}` {
		t.Errorf("the answer is %q, %v", got, err)
	}
	if n := paid.Load(); n != 1 {
		t.Errorf("%d were paid", n)
	}
	m.WantCalls(2)
	if page, err := c.Inbox(testContext(t), perdure.InboxQuery{}); err != nil || len(page.Items) != 0 {
		t.Errorf("the inbox has %+v, %v", page, err)
	}
}

// pollKind asks for a vote, of a group that is its input, and another thing.
func pollKind() *durable.Kind {
	return durable.Workflow(poll, func(ctx durable.Context, group string) (string, error) {
		f, err := durable.AskQuestionAsync[int](ctx, "how many", "How many?")
		if err != nil {
			return "", err
		}
		d, err := durable.AskApproval(ctx, "vote", "Agreed?", durable.AskTo(group), durable.BoundTo("ballot", "5f2a"), durable.Timeout(time.Hour))
		if err != nil {
			return "", err
		}
		n, err := f.Result(ctx)
		return fmt.Sprint(d.Approved, " ", n.Value), err
	})
}

func TestInbox_Filters(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(pollKind()), perdure.SuspendAfter(time.Millisecond))
	c := node.Client()
	for _, key := range []string{"a", "b", "c"} {
		group := map[string]string{"a": "ops", "b": "legal", "c": "legal"}[key]
		if _, err := perdure.Start(testContext(t), c, poll.At(key), group, durable.Attribute("group", group)); err != nil {
			t.Fatal(err)
		}
	}
	inbox(t, c, perdure.InboxQuery{}, 6)
	for _, f := range []struct {
		q    perdure.InboxQuery
		want string
	}{
		{perdure.InboxQuery{}, "a/1 a/3 b/1 b/3 c/1 c/3"},
		{perdure.InboxQuery{Ask: perdure.AskApproval}, "a/3 b/3 c/3"},
		{perdure.InboxQuery{Ask: perdure.AskQuestion, Key: "b"}, "b/1"},
		{perdure.InboxQuery{Tool: "ballot", For: "legal"}, "b/3 c/3"},
		{perdure.InboxQuery{For: "ops"}, "a/1 a/3 b/1 c/1"},
		{perdure.InboxQuery{Where: []string{"group=ops"}}, "a/1 a/3"},
		{perdure.InboxQuery{Kind: "poll", AskedUntil: time.Now().Add(-time.Hour)}, ""},
		{perdure.InboxQuery{AskedFrom: time.Now().Add(-time.Hour), Ask: perdure.AskQuestion}, "a/1 b/1 c/1"},
		{perdure.InboxQuery{Kind: "other"}, ""},
	} {
		for _, limit := range []int{0, 1, 2} {
			var got []string
			for q := f.q; ; {
				q.Limit = limit
				page, err := c.Inbox(testContext(t), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range page.Items {
					got = append(got, strings.Split(i.Run, "/")[1]+"/"+i.Path)
				}
				if q.After = page.Next; !page.More {
					break
				}
			}
			slices.Sort(got) // the runs began in any order
			if s := strings.Join(got, " "); s != f.want {
				t.Errorf("%+v by %d: %q, want %q", f.q, limit, s, f.want)
			}
		}
	}
	for _, q := range []perdure.InboxQuery{{Limit: 1001}, {Ask: "vote"}} {
		if _, err := c.Inbox(testContext(t), q); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// TestInbox_OfAThousandRuns prints how long it takes to list what 1,000 runs ask, the
// first time and again, and answers from the list.
func TestInbox_OfAThousandRuns(t *testing.T) {
	t.Parallel()
	const runs = 1000
	node := running(t, "", perdure.Host(pollKind()), perdure.SuspendAfter(time.Millisecond))
	c := node.Client()
	for i := range runs {
		if _, err := perdure.Start(testContext(t), c, poll.At(fmt.Sprint(i)), "ops"); err != nil {
			t.Fatal(err)
		}
	}
	all := func(q perdure.InboxQuery) (items []perdure.InboxItem, pages int) {
		for q.Limit = 100; ; {
			page, err := c.Inbox(testContext(t), q)
			if err != nil {
				t.Fatal(err)
			}
			items, pages = append(items, page.Items...), pages+1
			if q.After = page.Next; !page.More {
				return items, pages
			}
		}
	}
	eventually(t, "all runs ask", func() bool {
		items, _ := all(perdure.InboxQuery{})
		return len(items) == 2*runs
	})
	began := time.Now()
	first, err := c.Inbox(testContext(t), perdure.InboxQuery{})
	page := time.Since(began)
	if err != nil || len(first.Items) < 100 {
		t.Fatalf("a page has %d questions, %v", len(first.Items), err)
	}
	began = time.Now()
	items, pages := all(perdure.InboxQuery{Ask: perdure.AskApproval, For: "ops"})
	whole := time.Since(began)
	if len(items) != runs {
		t.Errorf("%d decisions wait, want %d", len(items), runs)
	}
	t.Logf("an inbox of %d questions of %d waiting runs: a page of 100 in %s; all %d decisions, in %d pages, in %s", 2*runs, runs, page.Round(time.Millisecond), len(items), pages, whole.Round(time.Millisecond))
	seen := map[string]bool{}
	for _, i := range items {
		seen[i.Run] = true
	}
	if len(seen) != runs {
		t.Errorf("the decisions are of %d runs", len(seen))
	}
	i := items[len(items)/2]
	if err := c.Approve(testContext(t), i.Run, i.Path, durable.Decision{Approved: true, Hash: i.Hash}); err != nil {
		t.Error(err)
	}
	if err := c.Answer(testContext(t), i.Run, "how many", durable.Answer[any]{Value: 3}); err != nil {
		t.Error(err)
	}
	run, err := perdure.Attach(c, poll, i.Run)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := run.Result(testContext(t)); err != nil || got != "true 3" {
		t.Errorf("the result is %q, %v", got, err)
	}
}
