package main

// Why a scenario is expected to fail.
const (
	noOAuth    = "agents/mcp has no OAuth: a token goes into a Header, or is renewed by a Client's transport"
	noGrant    = "agents/mcp has no OAuth, nor has the SDK this grant"
	noDPoP     = "neither agents/mcp nor the SDK binds tokens to a key (SEP-1932)"
	noSkills   = "agents/mcp does not list a server's skills (SEP-2640), so there is nothing to verify"
	noQuestion = "agents/mcp answers no question of a server to the user: it says that it cannot, and the model is told"
)

// expectedFailures are the scenarios of the conformance suite that our client does not
// pass, each with the reason. A failure that is not here, and a pass of what is, fail the
// run.
var expectedFailures = map[string]string{
	"elicitation-sep1034-client-defaults": noQuestion,
	"sep-2322-client-request-state":       noQuestion,

	"auth/2025-03-26-oauth-endpoint-fallback":   noOAuth,
	"auth/2025-03-26-oauth-metadata-backcompat": noOAuth,
	"auth/authorization-server-migration":       noOAuth,
	"auth/basic-cimd":                           noOAuth,
	"auth/iss-normalized":                       noOAuth,
	"auth/iss-not-advertised":                   noOAuth,
	"auth/iss-supported":                        noOAuth,
	"auth/iss-supported-missing":                noOAuth,
	"auth/iss-unexpected":                       noOAuth,
	"auth/iss-wrong-issuer":                     noOAuth,
	"auth/metadata-default":                     noOAuth,
	"auth/metadata-issuer-mismatch":             noOAuth,
	"auth/metadata-var1":                        noOAuth,
	"auth/metadata-var2":                        noOAuth,
	"auth/metadata-var3":                        noOAuth,
	"auth/offline-access-not-supported":         noOAuth,
	"auth/offline-access-scope":                 noOAuth,
	"auth/pre-registration":                     noOAuth,
	"auth/resource-mismatch":                    noOAuth,
	"auth/scope-from-scopes-supported":          noOAuth,
	"auth/scope-from-www-authenticate":          noOAuth,
	"auth/scope-omitted-when-undefined":         noOAuth,
	"auth/scope-retry-limit":                    noOAuth,
	"auth/scope-step-up":                        noOAuth,
	"auth/token-endpoint-auth-basic":            noOAuth,
	"auth/token-endpoint-auth-none":             noOAuth,
	"auth/token-endpoint-auth-post":             noOAuth,

	"auth/client-credentials-basic":         noOAuth,
	"auth/client-credentials-jwt":           noGrant,
	"auth/enterprise-managed-authorization": noGrant,
	"auth/wif-jwt-bearer":                   noGrant,

	"auth/dpop":       noDPoP,
	"auth/dpop-nonce": noDPoP,

	"sep-2640-client-no-prefetch":        noSkills,
	"sep-2640-client-verify-digest":      noSkills,
	"sep-2640-client-verify-frontmatter": noSkills,
	"sep-2640-client-verify-size":        noSkills,
}
