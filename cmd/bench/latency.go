package main

import (
	"time"

	"github.com/perdure/perdure/broker/brokerbench"
)

// latencies does one thing count times, one after another, and returns how long
// it took as a metric. do is told which time it is, and says how long that took.
func latencies(metric string, count int, do func(i int) (time.Duration, error)) (result, error) {
	before := usageNow()
	took := make([]time.Duration, count)
	for i := range took {
		var err error
		if took[i], err = do(i); err != nil {
			return result{}, err
		}
	}
	cpu, others := before.since()
	t := brokerbench.TimingOf(took)
	return result{
		Metric: metric, Value: ms(t.P50), Unit: "ms", N: count, P50: ms(t.P50), P99: ms(t.P99),
		RSS: peakMB(), CPU: cpu.Seconds(), OtherCPU: others,
	}, nil
}
