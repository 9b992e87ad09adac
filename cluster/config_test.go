package cluster

import (
	"strings"
	"testing"
	"time"
)

func TestConfigSaysWhatIsWrong(t *testing.T) {
	store := newMemory().connect()
	for want, c := range map[string]Config{
		`pool: invalid name: the kind "a.b" contains "."`:           {Pool: "a.b", Node: "n", Partitions: 1, Store: store},
		`node name "": invalid name: the key is empty`:              {Partitions: 1, Store: store},
		"the nonce is empty; leave it nil to have one made":         {Node: "n", Nonce: []byte{}, Partitions: 1, Store: store},
		"the number of partitions is 0; take it from the broker":    {Node: "n", Store: store},
		"lease of 500ms: NATS keeps keys for whole seconds; use 1s": {Node: "n", Partitions: 1, LeaseTTL: 500 * time.Millisecond, Store: store},
		"lease of 2.5s: NATS keeps keys for whole seconds; use 1s":  {Node: "n", Partitions: 1, LeaseTTL: 2500 * time.Millisecond, Store: store},
		"no store is set; use cluster.NewStore with a broker":       {Node: "n", Partitions: 1},
	} {
		m, err := Join(t.Context(), c)
		if m != nil || err == nil || !strings.HasPrefix(err.Error(), "join the cluster: "+want) {
			t.Errorf("Join = %v, %v\nwant join the cluster: %s", m, err, want)
		}
	}
}
