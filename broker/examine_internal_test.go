package broker

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ExamineAt is [Examine] by a clock of the test's.
func ExamineAt(ctx context.Context, cfg Config, clock func() time.Time) ([]CheckResult, bool) {
	cfg.clock = clock
	return Examine(ctx, cfg)
}

func TestExamine_JudgesVersions(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]CheckStatus{
		server.VERSION: OK, "3.0.0": OK, "2.15.0": OK, "2.15.0-RC.1": OK, "2.14.9": Warn, "2.12.0": Warn, "2.11.17": Fail, "2.9.22": Fail, "": Fail,
	} {
		if got := versionCheck(version); got.Status != want || (got.Do == "") != (want == OK) {
			t.Errorf("version %q: %+v, want %s", version, got, want)
		}
	}
}
