package cluster

import (
	"testing"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// Of an owner a backup keeps the epoch, and of members nothing.
func TestBackup_KeepsEpochs(t *testing.T) {
	t.Parallel()
	k := keysOf("a")
	value, err := proto.Marshal(&schemas.Owner{Node: "n", Nonce: []byte("x"), Epoch: 7})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := Kept(k.owner(3), value)
	owner := &schemas.Owner{}
	if err != nil || proto.Unmarshal(kept, owner) != nil || !proto.Equal(owner, &schemas.Owner{Epoch: 7}) {
		t.Errorf("of an owner %v, %v is kept", owner, err)
	}
	if kept, err := Kept(k.build("wf"), []byte("x")); string(kept) != "x" || err != nil {
		t.Errorf("of a build %q, %v is kept", kept, err)
	}
	if kept, err := Kept(SharedPrefix+"breaker.x", []byte("x")); kept != nil || err != nil {
		t.Errorf("of what the kinds share %q, %v is kept", kept, err)
	}
	if _, err := Kept(k.owner(3), []byte{0xff}); err == nil {
		t.Error("an owner that cannot be read is left out")
	}
	if node, ok := NodeOf(k.member("a node.1")); node != "a node.1" || !ok {
		t.Errorf("the node is %q, %v", node, ok)
	}
	if node, ok := NodeOf(k.owner(3)); ok {
		t.Errorf("an owner's key is of node %q", node)
	}
}
