package openapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/openapi"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
)

func TestWhatTheModelIsToldOfOperations(t *testing.T) {
	all := specs(t, openapi.Tools(openapi.Data(document(t))))
	if got := strings.Join(slices.Sorted(maps.Keys(all)), " "); got != "createOrder delete_orders_id getOrder listOrders noteOnOrder pay" {
		t.Errorf("tools %s", got)
	}
	if got := all["listOrders"].Description; got != "Orders of the shop\n\nThe newest first." {
		t.Errorf("description %q", got)
	}
	contains(t, all["noteOnOrder"].Description, "PATCH /orders/{id}", "deprecated")
	for name, want := range map[string]string{
		"createOrder": `{"type":"object","additionalProperties":false,"required":["lines"],"properties":{
			"X-Shop":{"type":"string"},
			"lines":{"type":"array","minItems":1,"items":{"$ref":"#/$defs/Line"}},
			"note":{"type":["string","null"]}},
			"$defs":{
			"Order":{"type":"object","required":["lines"],"properties":{
				"lines":{"type":"array","minItems":1,"items":{"$ref":"#/$defs/Line"}},"note":{"type":["string","null"]}}},
			"Line":{"type":"object","required":["sku"],"properties":{
				"sku":{"type":"string"},"parts":{"type":"array","items":{"$ref":"#/$defs/Line"}}}}}}`,
		"getOrder": `{"type":"object","additionalProperties":false,"required":["id"],"properties":{"id":{"type":"string","description":"the order's number"}}}`,
		"pay": `{"type":"object","additionalProperties":false,"required":["cents"],"properties":{
			"cents":{"type":"integer"},"tag":{"type":"array","items":{"type":"string"}}}}`,
		"listOrders": `{"type":"object","additionalProperties":false,"properties":{
			"X-Shop":{"type":"string"},"session":{"type":"string"},"where":{"type":"object"},
			"state":{"type":"array","items":{"type":"string","enum":["open","sent"]}},
			"ids":{"type":"array","items":{"type":"integer"}},
			"filter":{"type":"object","properties":{"min":{"type":["integer","null"],"exclusiveMinimum":0}}}}}`,
	} {
		var a, b any
		if err := errors.Join(json.Unmarshal([]byte(want), &a), json.Unmarshal(all[name].Parameters, &b)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s (-want +got): %s", name, diff)
		}
	}
}

func TestRequests(t *testing.T) {
	for _, c := range []struct{ name, arguments, want string }{
		{"listOrders", `{}`, "GET /v1/orders"},
		{"listOrders", `{"state":["open","sent"],"ids":[1,2],"filter":{"min":3},"where":{"a":"b c"}}`, "GET /v1/orders?state=open&state=sent&ids=1%7C2&filter[min]=3&where=%7B%22a%22%3A%22b+c%22%7D"},
		{"getOrder", `{"id":"a/../b ?"}`, "GET /v1/orders/a%2F..%2Fb%20%3F"},
		{"createOrder", `{"lines":[{"sku":"x","parts":[{"sku":"y"}]}],"note":null}`, `POST /v1/orders {"lines":[{"parts":[{"sku":"y"}],"sku":"x"}],"note":null}`},
		{"noteOnOrder", `{"id":"1","body":"so it is"}`, "PATCH /v1/orders/1 so it is"},
		{"delete_orders_id", `{"id":"1"}`, "DELETE /v1/orders/1"},
		{"pay", `{"cents":123456789012345678,"tag":["a","b"]}`, "POST /v1/payments cents=123456789012345678&tag=a&tag=b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, ok(`{"fine":1.0}`))
			if got := told(t, orders(t, s), c.name, c.arguments); got != `{"fine":1.0}` {
				t.Errorf("the model is told %s", got)
			}
			if diff := cmp.Diff([]string{strings.ReplaceAll(c.want, "[min]", "%5Bmin%5D")}, s.requests()); diff != "" {
				t.Errorf("(-want +got): %s", diff)
			}
			if s.last().Header.Get(agents.IdempotencyHeader) == "" {
				t.Error("the request has no idempotency key")
			}
		})
	}
	t.Run("headers and cookies", func(t *testing.T) {
		s := newSite(t, ok(`{}`))
		told(t, orders(t, s, openapi.Auth(func(context.Context) (http.Header, error) {
			return http.Header{"Authorization": {"Bearer secret"}}, nil
		})), "listOrders", `{"X-Shop":"north","session":"a b"}`)
		h := s.last().Header
		if h.Get("X-Shop") != "north" || h.Get("Cookie") != "session=a+b" || h.Get("Authorization") != "Bearer secret" {
			t.Errorf("headers %v", h)
		}
	})
	for arguments, want := range map[string]string{
		`{"id":".."}`:         "cannot be",
		`{"id":""}`:           "cannot be",
		`{"ids":"1"}`:         "bad_arguments",
		`{"id":"1","else":1}`: "bad_arguments",
	} {
		s := newSite(t, ok(`{}`))
		contains(t, told(t, orders(t, s), "getOrder", arguments), want, "bad_arguments")
		if got := s.requests(); got != nil {
			t.Errorf("%s: requests %q", arguments, got)
		}
	}
	s := newSite(t, ok(`{}`))
	contains(t, told(t, orders(t, s), "listOrders", `{"X-Shop":"a\r\nB: c"}`), "bad_arguments", "control characters")
}

// TestAnswers has an API that answers in all ways.
func TestAnswers(t *testing.T) {
	reply := func(status int, kind, text string) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	first := func(status int, then func(http.ResponseWriter, *http.Request, int)) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, r *http.Request, before int) {
			if before == 0 {
				w.Header().Set("Retry-After-Ms", "1")
				reply(status, "text/plain", "not now")(w, r, before)
				return
			}
			then(w, r, before)
		}
	}
	cut := func(w http.ResponseWriter, _ *http.Request, before int) {
		if before == 0 {
			panic(http.ErrAbortHandler)
		}
		ok(`"again"`)(w, nil, 1)
	}
	const get, post, pay = "getOrder", "createOrder", "pay"
	for name, c := range map[string]struct {
		tool     string
		answer   func(http.ResponseWriter, *http.Request, int)
		want     []string
		requests int
	}{
		"JSON":                        {get, reply(200, "application/json; charset=utf-8", `{"a":[1]}`), []string{`{"a":[1]}`}, 1},
		"a problem that is a success": {get, reply(200, "application/problem+json", `{"a":1}`), []string{`{"a":1}`}, 1},
		"text":                        {get, reply(200, "text/csv", "a;b"), []string{"a;b"}, 1},
		"nothing":                     {get, reply(204, "", ""), []string{`{"status":204}`}, 1},
		"bytes":                       {get, reply(200, "application/pdf", "\xff\xfe\x00"), []string{"[application/pdf, 3 bytes, not shown]"}, 1},
		"no JSON after all":           {get, reply(200, "application/json", "<html>"), []string{"http_unreadable", "html"}, 1},
		"not found":                   {get, reply(404, "application/json", `{"detail":"no order 1"}`), []string{"http_refused", "404 Not Found", "no order 1", "GET "}, 1},
		"not allowed":                 {post, reply(403, "text/plain", "go away"), []string{"http_refused", "go away"}, 1},
		"not implemented":             {get, reply(501, "text/plain", ""), []string{"http_refused"}, 1},
		"throttled":                   {get, first(429, ok(`"at last"`)), []string{"at last"}, 2},
		"throttled, once":             {post, first(429, ok(`"at last"`)), []string{"at last"}, 2},
		"failing":                     {get, first(500, ok(`"at last"`)), []string{"at last"}, 2},
		"failing, once":               {post, first(500, ok(`"at last"`)), []string{"unknown_outcome", "500", "not now"}, 1},
		"closed, once":                {post, first(503, ok(`"at last"`)), []string{"http_unavailable", "503", "not now"}, 1},
		"failing, with a key":         {pay, first(503, ok(`"at last"`)), []string{"at last"}, 2},
		"failing for ever":            {get, reply(503, "text/plain", "closed"), []string{"http_unavailable", "closed"}, 4},
		"throttled for ever, once":    {post, reply(429, "text/plain", "closed"), []string{"http_unavailable", "closed"}, 4},
		"cut":                         {get, cut, []string{"again"}, 2},
		"cut, once":                   {post, cut, []string{"unknown_outcome", "find out whether it was carried out"}, 1},
		"cut, with a key":             {pay, cut, []string{"again"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.answer)
			arguments := map[string]string{get: `{"id":"1"}`, post: `{"lines":[{"sku":"x"}]}`, pay: `{"cents":1}`}[c.tool]
			contains(t, told(t, orders(t, s), c.tool, arguments), c.want...)
			if got := s.requests(); len(got) != c.requests || len(s.keys) != 1 {
				t.Errorf("requests %q with the keys %v, want %d with one key", got, s.keys, c.requests)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		s := newSite(t, ok(`{}`))
		s.Close()
		contains(t, told(t, orders(t, s), post, `{"lines":[{"sku":"x"}]}`), "http_unavailable", "refused")
	})
	t.Run("too long", func(t *testing.T) {
		s := newSite(t, ok(`"`+strings.Repeat("x", 200)+`"`))
		contains(t, told(t, orders(t, s, openapi.MaxResponse(100)), get, `{"id":"1"}`), "http_unreadable", "more than 100 bytes")
	})
	t.Run("longer than the model is given", func(t *testing.T) {
		s := newSite(t, ok(`"`+strings.Repeat("x", 200)+`"`))
		contains(t, told(t, orders(t, s, openapi.Tool(get, agents.MaxResult(100))), get, `{"id":"1"}`), "cut here", "read_result")
	})
}

// TestABrokenConnectionSendsNoOrderTwice has a server that ends a connection which was
// kept alive, with a request on it: net/http sends it again by itself if it may.
func TestABrokenConnectionSendsNoOrderTwice(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, before int) {
		if before > 0 {
			panic(http.ErrAbortHandler)
		}
		ok(`{}`)(w, r, before)
	})
	client := s.Client()
	tools := orders(t, s, openapi.Client(client))
	told(t, tools, "getOrder", `{"id":"1"}`) // the connection stays
	contains(t, told(t, tools, "createOrder", `{"lines":[{"sku":"x"}]}`), "unknown_outcome")
	if got := s.requests(); len(got) != 2 {
		t.Errorf("requests %q", got)
	}
}

// TestCredentialsStayWithTheirHost has an API that redirects elsewhere.
func TestCredentialsStayWithTheirHost(t *testing.T) {
	elsewhere := newSite(t, ok(`"theirs"`))
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, before int) {
		if r.URL.Path == "/v1/orders/here" {
			http.Redirect(w, r, "/v1/orders/2", http.StatusFound)
			return
		}
		if r.URL.Path == "/v1/orders/2" {
			ok(`"ours"`)(w, r, before)
			return
		}
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
	})
	tools := orders(t, s, openapi.Auth(func(context.Context) (http.Header, error) { return http.Header{"X-Api-Key": {"secret"}}, nil }))
	contains(t, told(t, tools, "getOrder", `{"id":"there"}`), "http_refused", "302")
	contains(t, told(t, tools, "getOrder", `{"id":"here"}`), "ours")
	if got := elsewhere.requests(); got != nil {
		t.Errorf("the other host got %q", got)
	}
}

func TestAuthThatFailsIsTriedAgain(t *testing.T) {
	s := newSite(t, ok(`"in"`))
	n := 0
	tools := orders(t, s, openapi.Auth(func(context.Context) (http.Header, error) {
		if n++; n < 3 {
			return nil, errors.New("the token server is away")
		}
		return nil, nil
	}))
	contains(t, told(t, tools, "createOrder", `{"lines":[{"sku":"x"}]}`), "in")
	tools = orders(t, s, openapi.Auth(func(context.Context) (http.Header, error) { return nil, durable.Fail("no_account", "no such account") }))
	contains(t, told(t, tools, "getOrder", `{"id":"1"}`), "no_account", "no such account")
	if got := s.requests(); len(got) != 1 {
		t.Errorf("requests %q", got)
	}
}

// TestCrashesRepeatWhatMayBeRepeated kills the process around each write of a call.
func TestCrashesRepeatWhatMayBeRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		tool, arguments string
		opts            []openapi.Option
		once            bool
	}{
		"GET":                 {"getOrder", `{"id":"1"}`, nil, false},
		"DELETE":              {"delete_orders_id", `{"id":"1"}`, nil, false},
		"POST":                {"createOrder", `{"lines":[{"sku":"x"}]}`, nil, true},
		"POST with a key":     {"pay", `{"cents":1}`, nil, false},
		"POST to be repeated": {"createOrder", `{"lines":[{"sku":"x"}]}`, []openapi.Option{openapi.Tool("createOrder", agents.IfUnknown(agents.Repeat))}, false},
		"GET once":            {"getOrder", `{"id":"1"}`, []openapi.Option{openapi.EveryTool(agents.Once())}, true},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(when runtimetest.When, n int) (*runtimetest.World, *site, string) {
				s := newSite(t, ok(`"done"`))
				w, out := play(t, orders(t, s, c.opts...), c.tool, c.arguments, when, n)
				return w, s, out
			}
			w, _, _ := run(0, 0)
			lost := 0
			for n := range w.Points() {
				for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
					_, s, got := run(when, n+1)
					again := len(s.requests()) != 1
					unknown := strings.Contains(got, "unknown_outcome")
					if again || unknown {
						lost++
					}
					if len(s.keys) > 1 || c.once && len(s.requests()) > 1 || !c.once && unknown || !unknown && got != "done" {
						t.Errorf("point %d.%d: %q, requests with the keys %v", n+1, when, got, s.keys)
					}
				}
			}
			if lost == 0 {
				t.Error("no crash lost an outcome")
			}
		})
	}
}

func TestDocumentsAtAddresses(t *testing.T) {
	doc := document(t)
	there := true
	mux := http.NewServeMux()
	site := httptest.NewServer(mux)
	defer site.Close()
	mux.HandleFunc("GET /docs/orders.yaml", func(w http.ResponseWriter, r *http.Request) {
		if !there {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(strings.Replace(string(doc), `url: "{scheme}://orders.example.com/v1"`, "url: ../v1", 1)))
	})
	mux.HandleFunc("GET /v1/orders/7", func(w http.ResponseWriter, r *http.Request) { ok(`"seven"`)(w, r, 0) })
	if got := told(t, openapi.Tools(openapi.URL(site.URL+"/docs/orders.yaml")), "getOrder", `{"id":"7"}`); got != "seven" {
		t.Errorf("the model is told %q", got)
	}
	there = false
	err := opening(t, openapi.Tools(openapi.URL(site.URL+"/docs/orders.yaml")))
	if err == nil {
		t.Fatal("the agent was opened")
	}
	contains(t, err.Error(), "404", "is this the address", "/docs/orders.yaml")
}

func opening(t *testing.T, tools agents.Tool) error {
	t.Helper()
	kind := agents.New(clerk, agents.UseModel(offers{&[]agents.ToolSpec{}}), agents.Tools(tools))
	if err := kind.Validate(); err != nil {
		return err
	}
	closes, err := kind.Open(t.Context())
	if err != nil {
		return err
	}
	return closes()
}

func TestSelection(t *testing.T) {
	for want, opts := range map[string][]openapi.Option{
		"createOrder getOrder listOrders":                          {openapi.Tags("orders")},
		"pay":                                                      {openapi.Operations("pay")},
		"createOrder getOrder listOrders pay":                      {openapi.Tags("orders"), openapi.Operations("pay")},
		"getOrder listOrders":                                      {openapi.Tags("orders"), openapi.Without("createOrder")},
		"delete_orders_id":                                         {openapi.Operations("DELETE /orders/{id}")},
		"fetch shop_createOrder shop_listOrders":                   {openapi.Tags("orders"), openapi.Prefix("shop"), openapi.Rename("getOrder", "fetch")},
		"error: there is no operation \"getOdr\"":                  {openapi.Operations("getOdr")},
		"error: it has DELETE /orders/{id}, createOrder, getOrder": {openapi.Tool("x", agents.Once())},
		"error: both have the name \"pay\"":                        {openapi.Rename("getOrder", "pay")},
		"error: it is sent as multipart/form-data":                 {openapi.Operations("importOrders")},
		"error: none of its operations is selected":                {openapi.Tags("none")},
		"error: the prefix is empty":                               {openapi.Prefix("")},
		"error: leave room":                                        {openapi.MaxResponse(0)},
		"error: requests would go to \"here\"; say by Server":      {openapi.Server("here")},
		"error: tool name \"a b\"":                                 {openapi.Rename("getOrder", "a b")},
		"error: IfUnknown has no policy":                           {openapi.Tool("pay", agents.IfUnknown(agents.UnknownPolicy{}))},
	} {
		t.Run(want, func(t *testing.T) {
			tools := openapi.Tools(openapi.Data(document(t)), opts...)
			wrong, fails := strings.CutPrefix(want, "error: ")
			if err := opening(t, tools); fails {
				if !errors.Is(err, durable.ErrInvalid) {
					t.Fatalf("error %v", err)
				}
				contains(t, err.Error(), wrong)
				return
			} else if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(specs(t, tools))), " "); got != want {
				t.Errorf("tools %s", got)
			}
		})
	}
}

func TestDocumentsThatCannotBeUsed(t *testing.T) {
	head := `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"servers":[{"url":"https://example.com"}],"paths":{"/a/{b}":{"post":{"operationId":"a",`
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	param := `"parameters":[{"name":"b","in":"path","required":true,"schema":`
	for want, from := range map[string]openapi.Source{
		"read the OpenAPI document":            openapi.Data([]byte("{")),
		"it is no OpenAPI document":            openapi.Data([]byte(`{"swagger":"2.0"}`)),
		"none of its operations":               openapi.Data([]byte(`{"openapi":"3.1.0","info":{"title":"t","version":"1"}}`)),
		"there is no such parameter":           openapi.Data([]byte(head + `"responses":{}}}}}`)),
		"no such file":                         openapi.File(filepath.Join(dir, "none.yaml")),
		"it may refer to files beside it":      openapi.File(write("a.json", head+param+`{"$ref":"https://example.com/x.json"}}]}}}}`)),
		"encountered disallowed external refe": openapi.Data([]byte(head + param + `{"$ref":"/etc/passwd"}}]}}}}`)),
		"path escapes":                         openapi.File(write("b.json", head+param+`{"$ref":"../../etc/hosts"}}]}}}}`)),
	} {
		t.Run(want, func(t *testing.T) {
			err := opening(t, openapi.Tools(from))
			if !errors.Is(err, durable.ErrInvalid) {
				t.Fatalf("error %v", err)
			}
			contains(t, err.Error(), want)
		})
	}
	write("b.yaml", "type: integer\n")
	all := specs(t, openapi.Tools(openapi.File(write("c.json", head+param+`{"$ref":"b.yaml"}}]}}}}`))))
	contains(t, string(all["a"].Parameters), `{"type":"integer"}`)
}

// TestVersion31 has what is new in 3.1.
func TestVersion31(t *testing.T) {
	doc := fmt.Sprintf(`{"openapi":"3.1.0","info":{"title":"t","version":"1"},"servers":[{"url":"https://example.com"}],
		"paths":{"/a":{"post":{"operationId":"a","parameters":[{"name":"n","in":"query","schema":%s}],
		"requestBody":{"required":true,"content":{"application/vnd.x+json":{"schema":%s}}}}}}}`,
		`{"type":["integer","null"],"exclusiveMinimum":0}`, `{"type":"array","prefixItems":[{"const":"x"}],"items":false}`)
	got := specs(t, openapi.Tools(openapi.Data([]byte(doc))))["a"]
	var a, b any
	want := `{"type":"object","additionalProperties":false,"required":["body"],"properties":{
		"n":{"type":["integer","null"],"exclusiveMinimum":0},
		"body":{"type":"array","prefixItems":[{"const":"x"}],"items":false}}}`
	if err := errors.Join(json.Unmarshal([]byte(want), &a), json.Unmarshal(got.Parameters, &b)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("(-want +got): %s", diff)
	}
}

func FuzzDocuments(f *testing.F) {
	data, err := os.ReadFile("testdata/orders.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"openapi":"3.1.0","servers":[{"url":"http://a"}],"paths":{"/{b}":{"get":{"parameters":[{"name":"b","in":"path","schema":true}]}}}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if err := opening(t, openapi.Tools(openapi.Data(doc))); err != nil && !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("error %v", err)
		}
	})
}
