package main

// Why a scenario is expected to fail.
const (
	noGrant      = "the SDK's client, which does the authorization, has no such grant"
	noEnterprise = "the SDK has a handler for it, and lists the scenario as one that it fails itself"
	noDPoP       = "neither agents/mcp nor the SDK binds tokens to a key (SEP-1932)"
	noSkills     = "agents/mcp does not list a server's skills (SEP-2640), so there is nothing to verify"
)

// expectedFailures are the scenarios of the conformance suite that our client does not
// pass, each with the reason. A failure that is not here, and a pass of what is, fail the
// run.
var expectedFailures = map[string]string{
	"auth/client-credentials-jwt":           noGrant,
	"auth/enterprise-managed-authorization": noEnterprise,
	"auth/wif-jwt-bearer":                   noGrant,

	"auth/dpop":       noDPoP,
	"auth/dpop-nonce": noDPoP,

	"sep-2640-client-no-prefetch":        noSkills,
	"sep-2640-client-verify-digest":      noSkills,
	"sep-2640-client-verify-frontmatter": noSkills,
	"sep-2640-client-verify-size":        noSkills,
}
