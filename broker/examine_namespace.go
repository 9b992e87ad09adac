package broker

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// An examined is a stream as its leader describes it.
type examined struct {
	Config  jetstream.StreamConfig `json:"config"`
	Now     time.Time              `json:"ts"`
	Cluster *struct {
		Name     string    `json:"name"`
		Leader   string    `json:"leader"`
		Replicas []replica `json:"replicas"`
	} `json:"cluster"`
	State struct {
		Messages int64 `json:"messages"`
		Bytes    int64 `json:"bytes"`
	} `json:"state"`

	skew, blur time.Duration // the leader's clock minus ours, and the error of the measure
}

// server is who answered, for people.
func (s *examined) server(other string) string {
	if s.Cluster != nil && s.Cluster.Leader != "" {
		return nodeOf(s.Cluster.Leader)
	}
	return nodeOf(other)
}

// behind is how many replicas are behind, or away.
func (s *examined) behind() (n int) {
	for _, r := range s.Cluster.Replicas {
		if r.silent() || !r.Current {
			n++
		}
	}
	return n
}

// namespace looks at what a namespace has. It is false if a client cannot open it.
func (e *examiner) namespace(ctx context.Context) (whole bool) {
	ns := e.cfg.Namespace
	check := "namespace " + ns
	var err error
	if e.names, err = NewNames(ns, DefaultPartitions); err != nil {
		e.say(check, Fail, err.Error(), "correct the name")
		return false
	}
	record, err := e.record(ctx)
	switch {
	case errors.Is(err, ErrNoNamespace):
		e.say(check, Warn, "it is not there: no node has made it yet", "start a node, or correct the name; what follows can be said once it is there")
		if e.nc.ConnectedClusterName() == "" { // of a cluster no stream says yet how it is
			e.alone()
		}
		return false
	case err != nil:
		e.say(check, Fail, err.Error(), "look at the servers' logs; a stream answers once a majority of its replicas is there")
		return false
	case record.Version != Layout && record.Version != layoutUnmoved:
		e.say(check, Fail, fmt.Sprintf("its layout is version %d; this program knows %d and %d", record.Version, layoutUnmoved, Layout), "use the program that made it")
		return false
	}
	if e.names, err = NewNames(ns, record.Partitions); err != nil {
		e.say(check, Fail, err.Error(), "restore the namespace from a backup: its record is damaged")
		return false
	}
	e.say(check, OK, fmt.Sprintf("%d partitions, layout %d, made %s", record.Partitions, record.Version, time.Unix(0, record.Created).UTC().Format(time.DateTime)), "")
	pools, err := e.pools(ctx)
	if err != nil {
		e.say("pools", Fail, err.Error(), "look at the servers' logs")
	}
	whole = e.streams(ctx, pools)
	return whole
}

// record reads the namespace's record.
func (e *examiner) record(ctx context.Context) (*schemas.Namespace, error) {
	var answer struct {
		Message struct {
			Data string `json:"data"`
		} `json:"message"`
	}
	err := e.ask(ctx, "$JS.API.STREAM.MSG.GET.KV_"+e.names.ClusterBucket(), query{LastBy: e.names.clusterPrefix() + namespaceKey}, &answer)
	if r := refused(err); r != nil && r.Code == codeMessageNotFound {
		return nil, ErrNoNamespace
	}
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(answer.Message.Data)
	record := &schemas.Namespace{}
	if err == nil {
		err = proto.Unmarshal(data, record)
	}
	if err != nil {
		return nil, fmt.Errorf("its record is damaged: %w", err)
	}
	return record, nil
}

// pools lists the pools that the namespace has, or had.
func (e *examiner) pools(ctx context.Context) (pools []string, err error) {
	var answer struct {
		Streams []string `json:"streams"`
	}
	if err := e.ask(ctx, "$JS.API.STREAM.NAMES", map[string]any{"subject": e.names.taskFilter()}, &answer); err != nil {
		return nil, fmt.Errorf("list the pools: %w", err)
	}
	for _, s := range answer.Streams {
		if pool, ok := strings.CutPrefix(s, e.names.ns+inboxInfix); ok {
			pools = append(pools, pool)
		}
	}
	slices.Sort(pools)
	return pools, nil
}

// streams looks at every stream of the namespace, and at what all of them say of the servers.
func (e *examiner) streams(ctx context.Context, pools []string) (whole bool) {
	whole = true
	wants := e.names.streams(e.cfg)
	for _, pool := range pools {
		n := e.names
		n.pool = pool
		for _, sc := range []jetstream.StreamConfig{n.inbox(e.cfg), n.timers(e.cfg)} {
			sc.Subjects = nil // as many as the pool has kinds
			wants = append(wants, sc)
		}
	}
	all := map[string]*examined{}
	for _, want := range wants {
		have, err := e.stream(ctx, want)
		if err != nil {
			whole = false
			continue
		}
		all[want.Name] = have
	}
	e.servers(all)
	e.durability(all)
	e.clock(all)
	for _, pool := range pools {
		n := e.names
		n.pool = pool
		if have := all[n.InboxStream()]; have != nil {
			e.inbox(pool, have)
		}
	}
	if have := all[e.names.DeadStream()]; have != nil && have.State.Messages > 0 {
		e.say("dead letters", Warn, fmt.Sprintf("%d messages could not be handled", have.State.Messages), "look at them: 'perdure dead list'")
	}
	return whole
}

// stream compares a stream with what is needed. An error says that there is none to be had.
func (e *examiner) stream(ctx context.Context, want jetstream.StreamConfig) (*examined, error) {
	check := "stream " + want.Name
	have := &examined{}
	began, sent := time.Now(), e.now()
	err := e.ask(ctx, "$JS.API.STREAM.INFO."+want.Name, struct{}{}, have)
	took := time.Since(began)
	for range lagLooks {
		if err != nil || !have.lags() || !e.pause(ctx, lagLook) {
			break
		}
		*have = examined{}
		began, sent = time.Now(), e.now()
		err = e.ask(ctx, "$JS.API.STREAM.INFO."+want.Name, struct{}{}, have)
		took = time.Since(began)
	}
	switch {
	case errors.Is(err, ErrNoNamespace):
		e.say(check, Fail, "it is not there", "start a node of this version: it makes what is missing; if the stream was removed, its messages are lost: restore a backup")
		return nil, err
	case err != nil:
		e.say(check, Fail, err.Error(), "look at the servers' logs; a stream answers once a majority of its replicas is there")
		return nil, err
	}
	have.skew, have.blur = have.Now.Sub(sent.Add(took/2)), took/2
	found := fmt.Sprintf("messages %d, size %s, replicas %d", have.State.Messages, sizeText(have.State.Bytes), have.Config.Replicas)
	if what := differs(have.Config, want, e.cfg); what != "" {
		do := "put it back: 'nats stream edit " + want.Name + "'; what cannot be changed back needs another namespace"
		if have.Config.Replicas < 3 && e.cfg.Durability == Quorum && differs(have.Config, want, &Config{Durability: Disk}) == "" {
			do = more(have, fmt.Sprintf("'nats stream edit %s --replicas %d', on a cluster of as many servers", want.Name, e.cfg.Replicas))
		}
		e.say(check, Fail, "it "+what, do)
		return have, nil
	}
	if c := have.Cluster; c != nil {
		if c.Leader == "" {
			e.say(check, Fail, found+", and no leader", "start the servers that hold it: it takes a majority")
			return have, nil
		}
		if len(c.Replicas) > 0 {
			found += ", led by " + nodeOf(c.Leader)
		}
		if n := have.behind(); n > 0 {
			found += fmt.Sprintf(", %d of them without what came last: see 'cluster'", n)
		}
	}
	if have.Config.Replicas < e.cfg.Replicas {
		e.say(check, Warn, fmt.Sprintf("%s, where %d are configured", found, e.cfg.Replicas), more(have, fmt.Sprintf("'nats stream edit %s --replicas %d': a node leaves streams that are there as they are", want.Name, e.cfg.Replicas)))
		return have, nil
	}
	e.say(check, OK, found, "")
	return have, nil
}

// more is what to do so that a stream is on more servers, if there are any: do.
func more(have *examined, do string) string {
	if have.Cluster == nil || have.Cluster.Name == "" {
		return "see 'cluster': one server holds one replica"
	}
	return do
}

// durability says what an acknowledged write survives.
func (e *examiner) durability(all map[string]*examined) {
	least := 0
	for _, have := range all {
		if least == 0 || have.Config.Replicas < least {
			least = have.Config.Replicas
		}
	}
	server := e.nc.ConnectedServerName()
	switch asked, inside := e.cfg.Durability, strings.HasPrefix(server, serverPrefix); {
	case inside && least >= 3:
		e.say("durability", OK, fmt.Sprintf("on a majority of %d servers, inside nodes, before it counts; whether each has fsynced it by then the nodes say", least), "")
	case least >= 3 && asked != Process:
		e.say("durability", OK, fmt.Sprintf("quorum: on a majority of %d servers before it counts", least), "")
	case asked == Quorum:
		e.say("durability", Fail, fmt.Sprintf("quorum is configured, and a stream is on %d", least), "see the streams above: each needs 3 replicas or more")
	case strings.HasSuffix(server, groupedMark):
		e.say("durability", OK, "disk: the server is inside a node, which fsyncs before a write counts", "")
	case inside:
		e.say("durability", OK, "what the node says that has the server inside", "")
	default:
		e.say("durability", Warn, fmt.Sprintf("%s, by one server, whose sync_interval cannot be seen from here", asked), "for disk set 'sync_interval: always' in the jetstream block of the servers' configuration: the default of NATS is two minutes, which a loss of power may cost")
	}
}

// How far clocks may differ.
const (
	skewRefused = time.Second // a node owns no partition (P25)
	skewWarned  = 250 * time.Millisecond
)

// clock compares the clocks of the servers that lead streams with ours.
func (e *examiner) clock(all map[string]*examined) {
	worst, least := map[string]time.Duration{}, map[string]*examined{}
	for _, have := range all {
		if have.Now.IsZero() {
			continue
		}
		s := have.server(e.nc.ConnectedServerName())
		if best := least[s]; best == nil || have.blur < best.blur {
			least[s], worst[s] = have, have.skew
		}
	}
	if len(worst) == 0 {
		return
	}
	status, do := OK, ""
	var found []string
	for _, s := range slices.Sorted(maps.Keys(worst)) {
		d, blur := worst[s], least[s].blur
		found = append(found, fmt.Sprintf("%s is %s", s, aheadText(d)))
		switch {
		case d.Abs()-blur > skewRefused:
			status, do = Fail, "set the clocks, for instance by NTP: a node whose clock differs by more than a second owns no partitions"
		case d.Abs()-blur > skewWarned && status == OK:
			status, do = Warn, "keep the clocks set, for instance by NTP: from a second on a node owns no partitions"
		}
	}
	e.say("clock", status, "beside this machine's: "+strings.Join(found, ", "), do)
}

func aheadText(d time.Duration) string {
	switch r := d.Round(time.Millisecond); {
	case r < 0:
		return (-r).String() + " behind"
	case r > 0:
		return r.String() + " ahead"
	}
	return "the same"
}

// inbox says how full a pool's inbox is.
func (e *examiner) inbox(pool string, have *examined) {
	waiting, most := max(0, have.State.Messages-1), maxWaiting(have.Config.Metadata) // without the one that is kept
	found := fmt.Sprintf("%d messages wait or are worked on, of %d that may", waiting, most)
	status, do := OK, ""
	switch {
	case waiting >= most:
		status, do = Fail, "who starts a run waits: add nodes, or raise max_waiting"
	case waiting >= most/5*4:
		status, do = Warn, "add nodes, or raise max_waiting: at the bound who starts a run waits"
	}
	e.say("inbox of pool "+pool, status, found, do)
}
