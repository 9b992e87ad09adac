package cluster

import "errors"

var (
	// ErrNodeTaken is returned by [Join], and by [Member.Err] after a member
	// had to end, when another process of the namespace uses the node's name.
	// Choose another name, or stop that process.
	ErrNodeTaken = errors.New("node name is in use")
	// ErrNotOwner is returned by [Member.Again] when the partition is not, or
	// is no longer, owned by this member in that epoch. Stop what runs for it.
	ErrNotOwner = errors.New("partition is not owned in this epoch")
)

// errOffline says that there is no connection to NATS at the moment.
var errOffline = errors.New("not connected to NATS")
