package actors

import (
	"encoding/json"

	"github.com/perdure/perdure/schemas"
)

// A Done is what clients are told of a run's end, in JSON: on the done subject
// and by api.runs.get.
type Done struct {
	Run    string          `json:"run"`
	Status string          `json:"status"`
	Result json.RawMessage `json:"result,omitempty"`
	Codec  string          `json:"codec,omitempty"` // absent: result is the JSON itself; otherwise it is a JSON string, base64
	Error  *DoneError      `json:"error,omitempty"`
	// Truncated says that the result is too large for a notice: ask api.runs.get.
	Truncated bool `json:"truncated,omitempty"`
	// InputHash is the SHA-256 of the input, base64: a client that sent another
	// input under the same message ID sees that it was not its own.
	InputHash []byte `json:"input_sha256,omitempty"`
}

// A DoneError is the failure of a run.
type DoneError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details string `json:"details,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// StatusName returns the status as the wire has it, e.g. "completed".
func StatusName(s schemas.Status) string {
	switch s {
	case schemas.Status_QUEUED:
		return "queued"
	case schemas.Status_RUNNING:
		return "running"
	case schemas.Status_SUSPENDED:
		return "suspended"
	case schemas.Status_COMPLETED:
		return "completed"
	case schemas.Status_FAILED:
		return "failed"
	case schemas.Status_CANCELLED:
		return "cancelled"
	case schemas.Status_STALLED:
		return "stalled"
	case schemas.Status_NONDETERMINISTIC:
		return "nondeterministic"
	case schemas.Status_POISONED:
		return "poisoned"
	case schemas.Status_PAUSED:
		return "paused"
	}
	return "unknown"
}

// DoneOf returns what clients are told of a run that has a record.
func DoneOf(ref schemas.Ref, rec *schemas.Record) Done {
	d := Done{Run: ref.String(), Status: StatusName(rec.GetStatus()), InputHash: rec.GetInputHash()}
	if e := rec.GetError(); e != nil {
		d.Error = &DoneError{Code: e.GetCode(), Message: e.GetMessage(), Details: e.GetDetails()}
		return d
	}
	d.Result, d.Codec = PayloadJSON(rec.GetResult())
	return d
}

// DoneJSON returns [DoneOf] as JSON of at most limit bytes.
func DoneJSON(ref schemas.Ref, rec *schemas.Record, limit int64) []byte {
	d := DoneOf(ref, rec)
	data, err := json.Marshal(d)
	if err == nil && int64(len(data)) > limit {
		d.Result, d.Error, d.Truncated = nil, nil, true
		data, err = json.Marshal(d)
	}
	if err != nil { // the result is not the JSON that its codec says
		data, _ = json.Marshal(Done{Run: d.Run, Status: d.Status, InputHash: d.InputHash, Error: &DoneError{Code: "invalid", Message: "the result is stored and is not JSON"}})
	}
	return data
}

// PayloadJSON returns a payload for a JSON document: as it is if it is JSON, as
// a base64 string with its codec's name otherwise.
func PayloadJSON(p *schemas.Payload) (json.RawMessage, string) {
	switch {
	case p == nil:
		return nil, ""
	case p.GetCodec() == "" || p.GetCodec() == "json":
		return p.GetData(), ""
	}
	data, _ := json.Marshal(p.GetData()) // bytes always encode
	return data, p.GetCodec()
}
