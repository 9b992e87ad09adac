package broker

import (
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// traceHeaders are copied between messages and envelopes.
var traceHeaders = []string{"traceparent", "tracestate", "baggage"}

// maxTrace is how many bytes of one of them are kept: what W3C wants of the
// longest. They are in a run's journal, and in every message that it sends.
const maxTrace = 8 << 10

// traceOf copies the trace context out of a message's headers.
func traceOf(h nats.Header) map[string]string {
	trace := map[string]string{}
	for _, k := range traceHeaders {
		trace[k] = h.Get(k)
	}
	return traced(trace)
}

// traced returns what is kept of a trace context. What is none, such as a text
// that is not UTF-8 and can be in no journal, is left out: it is no reason not to
// do what the message asks for.
func traced(given map[string]string) map[string]string {
	var trace map[string]string
	for _, k := range traceHeaders {
		v := given[k]
		if v == "" || len(v) > maxTrace || !utf8.ValidString(v) {
			continue
		}
		if trace == nil {
			trace = make(map[string]string, len(traceHeaders))
		}
		trace[k] = v
	}
	return trace
}
