package broker_test

import (
	"testing"

	"github.com/perdure/perdure/broker/brokertest"
)

// What the rules rest on at three replicas. One cluster serves all.
func TestServer_R3(t *testing.T) {
	t.Parallel()
	g := brokertest.Cluster(t)
	t.Run("P01_OneWinnerPerPositionAndNoSpuriousRefusal", func(t *testing.T) { testClusterFence(t, g) })
	t.Run("P08_RedeliveredInOrder", func(t *testing.T) { testClusterConsumers(t, g) })
}
