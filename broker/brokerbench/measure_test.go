package brokerbench_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokerbench"
)

func TestLimitsAreMeasuredAtBothLevels(t *testing.T) {
	for _, level := range []broker.Durability{broker.Disk, broker.Process} {
		t.Run(level.String(), func(t *testing.T) {
			l, err := brokerbench.Measure(t.Context(), brokerbench.Config{Dir: t.TempDir(), Durability: level, For: 50 * time.Millisecond, Writers: 4})
			if err != nil {
				t.Fatal(err)
			}
			for name, m := range map[string]brokerbench.Timing{"fsync": l.Fsync, "publish": l.Publish, "read": l.Read} {
				if m.N == 0 || m.P50 <= 0 || m.P99 < m.P50 || m.Max < m.P99 {
					t.Errorf("%s: %+v, want measurements in order", name, m)
				}
			}
			if l.Rate <= 0 {
				t.Errorf("rate %v, want publishes", l.Rate)
			}
		})
	}
}

func TestMeasureNamesADirectoryThatIsNotThere(t *testing.T) {
	_, err := brokerbench.Measure(t.Context(), brokerbench.Config{Dir: t.TempDir() + "/none"})
	if err == nil {
		t.Fatal("measured a directory that is not there")
	}
}

func TestTimingPercentiles(t *testing.T) {
	var took []time.Duration
	for i := 100; i > 0; i-- {
		took = append(took, time.Duration(i))
	}
	want := brokerbench.Timing{N: 100, P50: 51, P99: 100, Max: 100}
	if diff := cmp.Diff(want, brokerbench.TimingOf(took)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(brokerbench.Timing{}, brokerbench.TimingOf(nil)); diff != "" {
		t.Error(diff)
	}
}

func Example() {
	dir, err := os.MkdirTemp("", "bare")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	l, err := brokerbench.Measure(context.Background(), brokerbench.Config{Dir: dir, Durability: broker.Process, For: 20 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Fsync.N > 0, l.Publish.P50 > 0, l.Rate > 0)
	// Output: true true true
}

func TestWaitsAreMeasured(t *testing.T) {
	w, err := brokerbench.MeasureWaits(t.Context(), brokerbench.Config{Dir: t.TempDir(), Durability: broker.Process, For: 200 * time.Millisecond}, 5000, 100)
	if err != nil {
		t.Fatal(err)
	}
	if w.Subject <= 0 || w.Schedule <= 0 || w.Restart <= 0 || w.Late.N != 20 || w.Late.P50 <= 0 {
		t.Errorf("%+v, want memory for each, a restart, and 20 schedules that came after their time", w)
	}
	t.Logf("%+v", w)
}
