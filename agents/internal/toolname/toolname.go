// Package toolname makes names of tools that models accept out of those that others gave.
package toolname

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
)

// Max is how long a name may be, in bytes: what providers accept.
const Max = 64

var notInNames = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

// Of returns the name that the model has for a tool that others call remote: prefix in
// front of it, what providers do not accept replaced by _, and a long one cut, with a hash
// of remote at its end.
func Of(prefix, remote string) string {
	name := notInNames.ReplaceAllString(prefix+remote, "_")
	if len(name) > Max {
		sum := sha256.Sum256([]byte(remote))
		name = name[:Max-9] + "_" + hex.EncodeToString(sum[:4])
	}
	return name
}
