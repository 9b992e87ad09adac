package far

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"unicode/utf8"

	"github.com/perdure/perdure/agents"
)

// maxName is how long a name may be, in bytes: what providers accept.
const maxName = 64

var notInNames = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

// ToolName returns the name that the model has for a tool that others call remote: prefix
// in front of it, what providers do not accept replaced by _, and a long one cut, with a
// hash of remote at its end.
func ToolName(prefix, remote string) string {
	name := notInNames.ReplaceAllString(prefix+remote, "_")
	if len(name) > maxName {
		sum := sha256.Sum256([]byte(remote))
		name = name[:maxName-9] + "_" + hex.EncodeToString(sum[:4])
	}
	return name
}

// MayPass reports whether another attempt may have another answer than a status of HTTP,
// or of a service that uses its numbers.
func MayPass(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return status >= 500 && status <= 599
}

// Made returns err, of an answer of such a status, with what that says of whether the call
// was carried out.
func Made(status int, err error) error {
	switch status {
	case http.StatusTooManyRequests, http.StatusTooEarly:
		return agents.NotMade(err)
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return agents.MaybeMade(err)
	}
	return err
}

// Result returns what the model is given of an answer: JSON as it is, text as a string,
// and of others that they are there.
func Result(data []byte, mediaType string, isJSON bool) (json.RawMessage, error) {
	switch {
	case isJSON && json.Valid(data):
		return bytes.TrimSpace(data), nil
	case utf8.Valid(data):
		return json.Marshal(string(data))
	case mediaType == "":
		mediaType = "something"
	}
	return json.Marshal(fmt.Sprintf("[%s, %d bytes, not shown]", mediaType, len(data)))
}
