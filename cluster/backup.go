package cluster

import (
	"fmt"
	"strings"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// NodeOf returns the node that a key of the cluster's bucket is of; ok is false for a
// key that is no member's.
func NodeOf(key string) (node string, ok bool) {
	rest, ok := strings.CutPrefix(key, memberPrefix)
	if !ok {
		return "", false
	}
	_, token, ok := strings.Cut(rest, ".") // behind the pool
	if !ok {
		return "", false
	}
	node, err := schemas.DecodeToken(token)
	return node, err == nil
}

// Kept returns what a backup keeps of a key that is no member's. Of an owner it keeps
// the epoch: whoever owns the partition next begins above it, as what the journals hold
// was written in it, or before. Of what the kinds of all nodes share it keeps nothing, which
// is nil: it is found out anew.
func Kept(key string, value []byte) ([]byte, error) {
	switch {
	case strings.HasPrefix(key, SharedPrefix):
		return nil, nil
	case !strings.HasPrefix(key, ownerPrefix):
		return value, nil
	}
	owner := &schemas.Owner{}
	if err := unmarshal(value, owner); err != nil {
		return nil, fmt.Errorf("read the key %s: %w", key, err)
	}
	return proto.Marshal(&schemas.Owner{Epoch: owner.GetEpoch()})
}
