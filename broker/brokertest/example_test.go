package brokertest_test

import (
	"fmt"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// A test opens a broker by brokertest.Open(t, options...), with a NATS server
// of its own. An option changes the broker's configuration.
func ExampleKinds() {
	var cfg broker.Config
	brokertest.Kinds("weather", "stock")(&cfg)
	fmt.Println(cfg.Kinds)
	// Output: [weather stock]
}
