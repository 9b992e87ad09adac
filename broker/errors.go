package broker

import (
	"errors"
	"fmt"
)

// Sentinels. Each error that a function of this package returns and that a
// program may want to tell from others matches one of them.
var (
	// ErrClosed is returned by every call on a closed [Broker].
	ErrClosed = errors.New("broker is closed")
	// ErrDirInUse is returned by [Open] when another process holds the data
	// directory. Stop that process, or choose another directory.
	ErrDirInUse = errors.New("data directory is in use")
	// ErrDirForeign is returned by [Open] when the data directory holds files
	// that are not Perdure's. Choose an empty or a new directory.
	ErrDirForeign = errors.New("data directory holds foreign files")
	// ErrDirUnusable is returned by [Open] when the data directory cannot be
	// created, written to or locked. Fix its permissions or choose another.
	ErrDirUnusable = errors.New("data directory is unusable")
	// ErrPortInUse is returned by [Open] when another program listens on
	// [Config.Listen]. Choose another port or stop that program.
	ErrPortInUse = errors.New("port is in use")
	// ErrServerTaken is returned by [Open] when another server of the [Cluster] has this
	// one's name, as with a copy of its directory. Give each node its own.
	ErrServerTaken = errors.New("another server has this name")
	// ErrNoJetStream is returned by [Open] when the NATS server has JetStream
	// disabled. Enable it in the server's configuration.
	ErrNoJetStream = errors.New("JetStream is not available")
	// ErrNoNamespace is returned by [Open] with [Config.ClientOnly] when the
	// namespace does not exist. Start a node of that namespace first.
	ErrNoNamespace = errors.New("namespace does not exist")
	// ErrPartitions is returned by [Open] when the namespace was created with
	// another number of partitions, which never changes.
	ErrPartitions = errors.New("number of partitions differs")
	// ErrIncompatible is returned by [Open] when a stream or a connection is
	// not as this package needs it, and by reads that find foreign data.
	ErrIncompatible = errors.New("incompatible")
	// ErrConsumerGone is returned by [Feed.Next] and [Feed.Ack] when the
	// feed's consumer was deleted: an epoch above took the partition over.
	ErrConsumerGone = errors.New("consumer is gone: another epoch took the partition over")
	// ErrGap is returned by [Feed.Next] when messages may be missing: the
	// connection was lost, or a delivery sequence was skipped. Take the
	// partition in a new epoch.
	ErrGap = errors.New("gap in delivery")
	// ErrPartitionTaken is returned by [Inbox.Take] when the partition has a
	// consumer of this or a higher epoch. Re-read the owner key.
	ErrPartitionTaken = errors.New("partition is taken")
	// ErrUnknownKind is returned by [Inbox.Publish] when no node of the
	// namespace has ever hosted the kind. Nothing was stored. Start a node that
	// hosts it, or correct the name.
	ErrUnknownKind = errors.New("unknown kind")
	// ErrFull is returned by [Inbox.Admit] and [Inbox.TryAdmit] when as many messages
	// wait in the inbox as may. Nothing was stored. Send it again later.
	ErrFull = errors.New("inbox is full")
	// ErrKindTaken is returned by [Open] when a kind belongs to another pool.
	ErrKindTaken = errors.New("kind belongs to another pool")
	// ErrTooLarge is returned by writes of more bytes than the server or
	// [Config.PayloadCap] accepts. Nothing was stored.
	ErrTooLarge = errors.New("too large")
	// ErrUnreachable is returned by [Open] when no NATS server takes connections
	// at the address. Start one, or correct the address; it may be tried again.
	ErrUnreachable = errors.New("NATS is unreachable")
	// ErrUntrusted is returned by [Open] when the server and this program do not agree on
	// TLS: a certificate is not trusted, of another name or over, or one of them wants
	// none. Correct the authority's file, the certificates or the address.
	ErrUntrusted = errors.New("the TLS connection to NATS failed")
	// ErrCredentials is returned by [Open] when the server does not take who this is.
	ErrCredentials = errors.New("NATS does not take the credentials")
	// ErrDenied is returned by [Open], and by whatever is asked of NATS, when the user may
	// not publish on or subscribe to a subject; the error is a [*Denied].
	ErrDenied = errors.New("this user of NATS is not allowed")
	// ErrNoLeader is returned by [Open] when ctx ended while the servers said that they
	// cannot answer: a majority of them is away, or a leader is being chosen.
	ErrNoLeader = errors.New("the NATS servers cannot do it at the moment: JetStream has no leader")
	// ErrUnanswered is returned by [Broker.Request] when no node has the
	// endpoint.
	ErrUnanswered = errors.New("no node answers")
	// ErrDisconnected is returned by [Broker.Request] when there is no
	// connection to NATS, or it was lost before the answer came. It is being
	// made again.
	ErrDisconnected = errors.New("connection to NATS is lost, and is being made again")
	// ErrDisk is returned by writes at [Disk] when an fsync of the embedded server's
	// files has failed: nobody knows what is on disk since the last that did not, so
	// nothing is acknowledged any more. Look at the disk, and start again.
	ErrDisk = errors.New("fsync failed: what was written last may not be on disk")
	// ErrBlob is returned by [Blobs.Get] when an object is missing or is not
	// what its reference says.
	ErrBlob = errors.New("object is missing or damaged")
)

// errLost says that the connection went away while an answer was awaited.
var errLost = errors.New("connection to NATS was lost")

// errNoAnswer says that an answer did not come in time.
var errNoAnswer = errors.New("no answer from NATS in time")

// errNoResponders says that nobody listens on the subject of a request.
var errNoResponders = errors.New("no responders")

// Error codes of nats-server 2.15.2 that mean something to us. They are
// matched here and by number: texts change.
const (
	codeWrongLastSequence  = 10071 // the fence: the condition did not hold
	codeWrongLastInFlight  = 10164 // at R3: a write before this one is in flight
	codeDuplicateInFlight  = 10158 // the same message ID is in flight
	codeWorkQueueNotUnique = 10100 // a work queue's consumers must not overlap
	codeConsumerExists     = 10148 // a consumer of this name, configured otherwise
	codeConsumerNotFound   = 10014
	codeStreamNotFound     = 10059
	codeStreamNameInUse    = 10058
	codeSubjectOverlap     = 10065
	codeReplicasOfOne      = 10074 // replicas where the server is no cluster
	codeNoPeers            = 10005 // too few servers for the replicas, now
	codeMessageNotFound    = 10037
	codeSequenceNotFound   = 10043
	codeMessageTooLarge    = 10054
	codeHeaderTooLarge     = 10097
	codeNotEnabled         = 10076
	codeNotEnabledAccount  = 10039
	codeDeleteFailed       = 10057 // of a message that is not there (at R3)
)

// A refusal is an answer of JetStream that says no.
type refusal struct {
	Status int    `json:"code"` // in the manner of HTTP
	Code   int    `json:"err_code"`
	Text   string `json:"description"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("NATS refused it: %s (code %d)", r.Text, r.Code)
}

// Is makes a refusal match the sentinel that its code stands for.
func (r *refusal) Is(target error) bool {
	switch r.Code {
	case codeWorkQueueNotUnique, codeConsumerExists:
		return target == ErrPartitionTaken
	case codeConsumerNotFound:
		return target == ErrConsumerGone
	case codeMessageTooLarge, codeHeaderTooLarge:
		return target == ErrTooLarge
	case codeNotEnabled, codeNotEnabledAccount:
		return target == ErrNoJetStream
	case codeStreamNotFound:
		return target == ErrNoNamespace
	}
	return false
}

// fenced reports whether the condition of a write did not hold.
func (r *refusal) fenced() bool { return r.Code == codeWrongLastSequence }

// inFlight reports whether the write collided with one on its way, which says
// nothing about the outcome: read again and retry.
func (r *refusal) inFlight() bool {
	return r.Code == codeWrongLastInFlight || r.Code == codeDuplicateInFlight
}

// temporary reports whether the server could not answer at the moment.
func (r *refusal) temporary() bool { return r.Status == 503 }

// refused returns the refusal in err's chain, or nil.
func refused(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	return nil
}
