package broker

import (
	"bytes"
	"log/slog"
	"testing"
)

// What the server says of its own recovery after a kill does not read like a
// loss of data; everything else that it warns of is a warning.
func TestServerLog_RecoveryAfterAKillIsNoWarning(t *testing.T) {
	for _, tt := range []struct {
		format string
		v      []any
		want   string
	}{
		{"Filestore [perdure_RUNS] Stream state outdated, last block has additional entries, will rebuild", nil, "level=DEBUG msg=\"nats: Filestore [perdure_RUNS] Stream state outdated, last block has additional entries, will rebuild\"\n"},
		{"Filestore [perdure_RUNS] Recovering stream state from index errored: %v", []any{"prior state file"}, "level=DEBUG msg=\"nats: Filestore [perdure_RUNS] Recovering stream state from index errored: prior state file\"\n"},
		{"Filestore [perdure_RUNS] Stream state detected prior state, could not locate msg block %d", []any{3}, "level=INFO msg=\"nats: Filestore [perdure_RUNS] Stream state detected prior state, could not locate msg block 3 (after a kill this is ordinary: the stream's index is older than its files of messages, and is made anew from them)\"\n"},
		{"Filestore [perdure_RUNS] Recovering stream state from index errored: %v", []any{"corrupt state file"}, "level=WARN msg=\"nats: Filestore [perdure_RUNS] Recovering stream state from index errored: corrupt state file\"\n"},
		{"Filestore [perdure_RUNS] Stream state checksum did not match", nil, "level=WARN msg=\"nats: Filestore [perdure_RUNS] Stream state checksum did not match\"\n"},
	} {
		var out bytes.Buffer
		newServerLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))).Warnf(tt.format, tt.v...)
		if out.String() != tt.want {
			t.Errorf("it is logged as %swant %s", out.String(), tt.want)
		}
	}
}
