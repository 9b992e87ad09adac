package mcp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/mcp"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// Asked is the name by which any process starts a run of the agent.
var Asked = durable.Declare[string, string]("librarian")

// A server of files that is a program, and one of tickets that is somewhere else.
func Example_tools() {
	dir, token := "/srv/manuals", "from your configuration"
	agents.New(Asked,
		agents.Instructions("You answer from the manuals. What is not in them becomes a ticket."),
		agents.UseModel(openai.New("gpt-5-mini")),
		agents.Tools(
			mcp.Stdio("npx", mcp.Args("-y", "@modelcontextprotocol/server-filesystem", dir),
				mcp.Prefix("files"), mcp.Allow("list_directory", "read_text_file")),
			mcp.HTTP("https://tickets.example.com/mcp", mcp.Header("Authorization", "Bearer "+token),
				mcp.EveryTool(agents.Timeout(20*time.Second)),
				mcp.Tool("create_ticket", agents.Once()))))
}

// A server that wants tokens, has resources, and asks people questions.
func Example_questions() {
	secret := "from your configuration"
	login, err := extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{
		Credentials: &oauthex.ClientCredentials{ClientID: "librarian", ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: secret}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	agents.New(Asked,
		agents.UseModel(openai.New("gpt-5-mini")),
		agents.Tools(mcp.HTTP("https://library.example.com/mcp",
			mcp.OAuth(login),
			mcp.Resources(), mcp.Prompts(),
			mcp.AskPeople())))
}

// A server that is made with the same SDK, and an agent that uses it. A node
// (perdure.Open) opens its session and closes it; here the agent runs in memory, with a
// model that plays a script.
func Example() {
	library := sdk.NewServer(&sdk.Implementation{Name: "library", Version: "1"}, nil)
	sdk.AddTool(library, &sdk.Tool{Name: "find_book", Description: "Where a book stands"},
		func(_ context.Context, _ *sdk.CallToolRequest, in struct {
			Title string `json:"title"`
		},
		) (*sdk.CallToolResult, struct {
			Shelf int `json:"shelf"`
		}, error,
		) {
			return nil, struct {
				Shelf int `json:"shelf"`
			}{len(in.Title)}, nil
		})
	site := httptest.NewServer(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return library }, nil))
	defer site.Close()
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return scripted.Reply{Calls: []scripted.Call{{Name: "library_find_book", Arguments: `{"title":"Walden"}`}}}
		}
		return scripted.Reply{Text: "I found " + r.Last().Content}
	}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	model := httptest.NewServer(server)
	defer model.Close()

	kind := agents.New(Asked,
		agents.UseModel(openai.New("any", openai.BaseURL(model.URL+"/v1"))),
		agents.Tools(mcp.HTTP(site.URL, mcp.Prefix("library"))))
	closes, err := kind.Open(context.Background()) // as a node does
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closes()

	world := runtimetest.NewWorld(kind)
	defer world.Close()
	world.Start()
	input, err := durable.Encode("Where is Walden?")
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := world.Do(context.Background(), schemas.Identity{Kind: "librarian", Key: "anna"}.Run("1"), "", input)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(rec.GetResult().GetData()))
	// Output:
	// "I found {\"shelf\":6}"
}
