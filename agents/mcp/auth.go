package mcp

import (
	"context"
	"errors"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"golang.org/x/oauth2"
)

// OAuth authorizes the requests to the server by one of the SDK's handlers, which find the
// authorization server as the protocol says: extauth.NewClientCredentialsHandler for a
// program that has an ID and a secret of its own, or auth.NewAuthorizationCodeHandler, whose
// AuthorizationCodeFetcher brings a person's browser there and back. It is asked again when
// the server answers 401 or 403.
func OAuth(h auth.OAuthHandler) HTTPOption {
	return httpOption(func(s *server) { s.oauth = oneByOne{h, make(chan struct{}, 1)} })
}

// oneByOne keeps a handler from being used by several calls at once, which those of the SDK
// are not made for.
type oneByOne struct {
	of   auth.OAuthHandler
	turn chan struct{} // has a token while one uses it
}

func (o oneByOne) TokenSource(ctx context.Context) (oauth2.TokenSource, error) {
	if err := o.take(ctx); err != nil {
		return nil, err
	}
	defer o.leave()
	return o.of.TokenSource(ctx)
}

func (o oneByOne) Authorize(ctx context.Context, req *http.Request, resp *http.Response) error {
	if err := o.take(ctx); err != nil {
		return errors.Join(err, resp.Body.Close())
	}
	defer o.leave()
	return o.of.Authorize(ctx, req, resp)
}

func (o oneByOne) take(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (o oneByOne) leave() { <-o.turn }

// Token authorizes the requests to the server by tokens of yours, which are renewed by what
// gives them: by golang.org/x/oauth2/clientcredentials, for instance, or from a token that
// a person has been given.
func Token(from oauth2.TokenSource) HTTPOption { return OAuth(tokens{from}) }

// tokens is a handler that can do no more when a token is refused.
type tokens struct{ from oauth2.TokenSource }

func (t tokens) TokenSource(context.Context) (oauth2.TokenSource, error) { return t.from, nil }

func (t tokens) Authorize(_ context.Context, _ *http.Request, resp *http.Response) error {
	return errors.Join(errors.New("the server refuses the token: "+resp.Status), resp.Body.Close())
}
