package actors

import (
	"context"
	"encoding/hex"
	"iter"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/cluster"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// sharedKeys are the keys that the kinds of all nodes share: beside those of the cluster,
// under a prefix of their own.
type sharedKeys struct {
	*broker.Leases
	b *broker.Broker
}

func (s sharedKeys) Get(ctx context.Context, key string) ([]byte, uint64, bool, error) {
	return s.Leases.Get(ctx, cluster.SharedPrefix+key)
}

func (s sharedKeys) Put(ctx context.Context, key string, value []byte, after uint64, ttl time.Duration) (schemas.Outcome, error) {
	return s.Leases.Put(ctx, cluster.SharedPrefix+key, value, after, ttl)
}

func (s sharedKeys) Delete(ctx context.Context, key string, after uint64) error {
	return s.Leases.Delete(ctx, cluster.SharedPrefix+key, after)
}

func (s sharedKeys) Watch(ctx context.Context, prefix string) iter.Seq2[runtime.KeyChange, error] {
	return func(yield func(runtime.KeyChange, error) bool) {
		for c, err := range s.Leases.Watch(ctx, cluster.SharedPrefix+prefix) {
			k := runtime.KeyChange{Rev: c.Rev, Value: c.Value}
			if err == nil && !c.CaughtUp {
				k.Key = c.Key[len(cluster.SharedPrefix):]
				now, _ := s.b.Clock()
				k.Age = max(now.Sub(c.Time), 0)
			}
			if !yield(k, err) {
				return
			}
		}
	}
}

// newCommons returns what the kinds of a host share.
func newCommons(cfg *Config, nonce []byte) *runtime.Commons {
	return runtime.NewCommons(sharedKeys{cfg.Broker.Leases(), cfg.Broker}, cfg.Node+"-"+hex.EncodeToString(nonce), cfg.Log)
}
