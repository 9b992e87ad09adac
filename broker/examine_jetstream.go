package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// accountLimits is what an account may have of JetStream; -1 for no limit.
type accountLimits struct {
	Memory           int64 `json:"max_memory"`
	Store            int64 `json:"max_storage"`
	Streams          int   `json:"max_streams"`
	Consumers        int   `json:"max_consumers"`
	AckPending       int   `json:"max_ack_pending"`
	StreamBytes      int64 `json:"storage_max_stream_bytes"`
	MaxBytesRequired bool  `json:"max_bytes_required"`
}

// accountUse is what an account has of JetStream, and may have.
type accountUse struct {
	Memory    int64         `json:"memory"`
	Store     int64         `json:"storage"`
	Streams   int           `json:"streams"`
	Consumers int           `json:"consumers"`
	Limits    accountLimits `json:"limits"`
}

// What a namespace of one pool needs of an account.
const (
	needStreams   = 8                     // six of all pools, and two of the pool
	needConsumers = 2 * DefaultPartitions // the inbox and the timers have one each
)

// jetstream finds out whether there is JetStream, and how much of it.
func (e *examiner) jetstream(ctx context.Context) bool {
	var account struct {
		accountUse
		Domain string                `json:"domain"`
		Tiers  map[string]accountUse `json:"tiers"`
	}
	err := e.ask(ctx, "$JS.API.INFO", struct{}{}, &account)
	switch {
	case errors.Is(err, errNoResponders), errors.Is(err, ErrNoJetStream):
		e.say("jetstream", Fail, "JetStream is not enabled on the servers, or not for this account", "put 'jetstream { store_dir: DIRECTORY }' into the servers' configuration, and 'jetstream: enabled' into the account's")
		return false
	case err != nil:
		e.say("jetstream", Fail, err.Error(), "look at the servers' logs; a cluster answers once a majority of its servers is there")
		return false
	}
	use := account.accountUse
	tier := fmt.Sprintf("R%d", e.cfg.Replicas)
	if len(account.Tiers) > 0 {
		var ok bool
		if use, ok = account.Tiers[tier]; !ok {
			e.say("jetstream", Fail, fmt.Sprintf("the account has nothing for streams of %d replicas", e.cfg.Replicas), fmt.Sprintf("give the account a tier %s, or configure other replicas", tier))
			return false
		}
	}
	e.limits(use)
	return true
}

// limits judges what an account may have.
func (e *examiner) limits(use accountUse) {
	l := use.Limits
	of := func(n, limit int64, text func(int64) string) string {
		if limit < 0 {
			return text(n) + " (no limit)"
		}
		return text(n) + " of " + text(limit)
	}
	count := func(n int64) string { return fmt.Sprint(n) }
	found := fmt.Sprintf("enabled: on disk %s, in memory %s, streams %s, consumers %s", of(use.Store, l.Store, sizeText), of(use.Memory, l.Memory, sizeText),
		of(int64(use.Streams), int64(l.Streams), count), of(int64(use.Consumers), int64(l.Consumers), count))
	status := OK
	var do []string
	worse := func(s CheckStatus, what string) {
		if s == Fail || status == OK {
			status = s
		}
		do = append(do, what)
	}
	full := l.Store >= 0 && use.Store >= l.Store/10*9
	switch {
	case full:
		worse(Fail, "raise the limit of storage now: at the limit nothing is accepted, and a timer that is due then does not fire before the server is started again")
	case l.Store >= 0:
		worse(Warn, "see that the limit of storage is never reached: a timer that is due then does not fire before the server is started again")
	}
	if l.Streams >= 0 && l.Streams-use.Streams < needStreams && l.Streams < needStreams {
		worse(Fail, fmt.Sprintf("raise max_streams: a namespace needs %d, and two more for each further pool", needStreams))
	}
	if l.Consumers >= 0 && l.Consumers < needConsumers {
		worse(Fail, fmt.Sprintf("raise max_consumers: a pool needs %d, two for each partition", needConsumers))
	}
	if l.AckPending > 0 {
		worse(Fail, fmt.Sprintf("remove max_ack_pending, which is %d: a message stays unacknowledged as long as its run takes", l.AckPending))
	}
	if l.MaxBytesRequired || l.StreamBytes > 0 {
		worse(Fail, "remove max_bytes_required and max_stream_bytes of the account: streams that are bounded refuse, or lose, what was accepted")
	}
	e.say("jetstream", status, found, strings.Join(do, "; "))
}
