package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/mcp"
	"golang.org/x/oauth2"
)

// guarded is a server that wants tokens, and the one that gives them: a program has to name
// itself and its secret, a person is sent there and back with a code.
type guarded struct {
	*httptest.Server
	tokens atomic.Int32 // given
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{}
	mux := http.NewServeMux()
	g.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		g.CloseClientConnections()
		g.Close()
	})
	far := farSide(func(string, string) {})
	verify := func(_ context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
		if token != "good" {
			return nil, auth.ErrInvalidToken
		}
		return &auth.TokenInfo{Expiration: time.Now().Add(time.Hour)}, nil
	}
	mux.Handle("/mcp", auth.RequireBearerToken(verify, &auth.RequireBearerTokenOptions{ResourceMetadataURL: g.URL + "/meta"})(
		sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return far }, nil)))
	mux.Handle("/meta", auth.ProtectedResourceMetadataHandler(&oauthex.ProtectedResourceMetadata{Resource: g.URL + "/mcp", AuthorizationServers: []string{g.URL}}))
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{
			"issuer": g.URL, "authorization_endpoint": g.URL + "/authorize", "token_endpoint": g.URL + "/token",
			"response_types_supported": []string{"code"}, "code_challenge_methods_supported": []string{"S256"},
			"token_endpoint_auth_methods_supported": []string{"client_secret_post"},
		})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		code := r.FormValue("grant_type") == "authorization_code" && r.FormValue("code") == "from the person" && r.FormValue("code_verifier") != ""
		if r.FormValue("client_secret") != "secret" || r.FormValue("grant_type") != "client_credentials" && !code {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return
		}
		g.tokens.Add(1)
		writeJSON(w, map[string]any{"access_token": "good", "token_type": "Bearer", "expires_in": 3600})
	})
	return g
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func credentials(secret string) *oauthex.ClientCredentials {
	return &oauthex.ClientCredentials{ClientID: "clerk", ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: secret}}
}

func TestServersThatWantTokens(t *testing.T) {
	program := func(secret string) auth.OAuthHandler {
		h, err := extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{Credentials: credentials(secret)})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	person, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		PreregisteredClient: credentials("secret"), RedirectURL: "http://localhost/back",
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			u, err := http.NewRequest(http.MethodGet, args.URL, nil)
			if err != nil {
				return nil, err
			}
			return &auth.AuthorizationResult{Code: "from the person", State: u.URL.Query().Get("state")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		option mcp.HTTPOption
		wrong  string
		tokens int32
	}{
		"a program":               {mcp.OAuth(program("secret")), "", 1},
		"a person":                {mcp.OAuth(person), "", 1},
		"a token":                 {mcp.Token(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "good"})), "", 0},
		"a header":                {mcp.Header("Authorization", "Bearer good"), "", 0},
		"nothing":                 {mcp.StartTimeout(time.Minute), "give the credentials that it asks for by Header, Token or OAuth", 0},
		"a wrong secret":          {mcp.OAuth(program("guess")), "invalid_client", 0},
		"a token that is refused": {mcp.Token(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "old"})), "the server refuses the token: 401", 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			tools := mcp.HTTP(g.URL+"/mcp", fast, c.option)
			if c.wrong == "" {
				contains(t, told(t, tools, "add", `{"a":1,"b":2}`), `{"total":3}`)
			} else {
				closes, err := agent(&poet{}, agents.Tools(tools)).Open(t.Context())
				if err == nil {
					t.Fatal(errors.Join(errors.New("it was opened"), closes()))
				}
				contains(t, err.Error(), c.wrong)
			}
			if n := g.tokens.Load(); n != c.tokens {
				t.Errorf("%d tokens were given, want %d", n, c.tokens)
			}
		})
	}
}
