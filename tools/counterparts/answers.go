package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"github.com/perdure/perdure/agents/mcp"
)

// redirect is where a browser would come back to. Nobody is there: what it would bring is
// in the redirection itself.
const redirect = "http://localhost:3000/callback"

// asPerson are the options of a client whose user accepts what is asked, with the defaults
// that the question has, and authorizes it at once.
func asPerson() ([]mcp.HTTPOption, error) {
	var context struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if about := os.Getenv("MCP_CONFORMANCE_CONTEXT"); about != "" {
		if err := json.Unmarshal([]byte(about), &context); err != nil {
			return nil, fmt.Errorf("MCP_CONFORMANCE_CONTEXT: %w", err)
		}
	}
	var credentials *oauthex.ClientCredentials
	if context.ID != "" && context.Secret != "" {
		credentials = &oauthex.ClientCredentials{ClientID: context.ID, ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: context.Secret}}
	}
	var handler auth.OAuthHandler
	var err error
	if os.Getenv("MCP_CONFORMANCE_SCENARIO") == "auth/client-credentials-basic" {
		handler, err = extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{Credentials: credentials})
	} else {
		handler, err = auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
			RedirectURL: redirect, AuthorizationCodeFetcher: fetchCode, PreregisteredClient: credentials,
			ClientIDMetadataDocumentConfig:  &auth.ClientIDMetadataDocumentConfig{URL: "https://conformance-test.local/client-metadata.json"},
			DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{RedirectURIs: []string{redirect}}},
		})
	}
	if err != nil {
		return nil, err
	}
	return []mcp.HTTPOption{mcp.OAuth(handler), mcp.Answers(accept)}, nil
}

// accept answers a question as somebody does who leaves the form as it is.
func accept(_ context.Context, q mcp.Question) (mcp.Answer, error) {
	var schema map[string]any
	if err := json.Unmarshal(q.Schema, &schema); err != nil {
		return mcp.Answer{}, fmt.Errorf("the schema of a question: %w", err)
	}
	content, ok := example(schema).(map[string]any)
	if !ok {
		return mcp.Answer{}, errors.New("a question is not after an object")
	}
	return mcp.Answer{Accept: true, Content: content}, nil
}

// fetchCode is the browser of a person who has authorized the client before.
func fetchCode(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args.URL, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		return nil, fmt.Errorf("where the browser is sent: %w", err)
	}
	q := to.Query()
	return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
}
