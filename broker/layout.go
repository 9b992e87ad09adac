package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
)

// pastSuffix ends the subject of what was moved, in the journals' stream.
const pastSuffix = ".past.>"

// OpenPast makes a namespace of the layout before ready for runs to be moved. From then
// on a program that knows only that layout does not open it: it would not find them,
// and start them again. So the caller knows that no member is such a program.
func (j *Journal) OpenPast(ctx context.Context) error {
	b := j.b
	b.opening.Lock()
	defer b.opening.Unlock()
	if b.opened {
		return nil
	}
	p := &provisioner{publisher: b.pub, cfg: &b.cfg}
	for pause := retryWait; ; pause = min(2*pause, retryWaitMax) {
		record, rev, err := p.readRecord(ctx, b.names)
		if err != nil {
			return err
		}
		if record.GetVersion() == Layout {
			break
		}
		if record.GetVersion() != layoutUnmoved {
			return fmt.Errorf("move runs of namespace %s: %w: its layout is version %d", b.names.ns, ErrIncompatible, record.GetVersion())
		}
		record.Version = Layout
		data, err := proto.Marshal(record)
		if err != nil {
			return fmt.Errorf("encode the record of namespace %s: %w", b.names.ns, err)
		}
		msg := &nats.Msg{Subject: b.names.clusterPrefix() + namespaceKey, Data: data, Header: nats.Header{hdrExpectedSeq: {strconv.FormatUint(rev, 10)}}}
		if _, err = b.pub.publish(ctx, msg); err != nil && (refused(err) == nil || !refused(err).fenced() && !refused(err).inFlight()) {
			return fmt.Errorf("store the record of namespace %s: %w", b.names.ns, err)
		}
		// Stored, or another node was first: the stored one counts.
		if refused(err) != nil {
			if err := b.link.pause(ctx, jitter(pause)); err != nil {
				return fmt.Errorf("store the record of namespace %s: %w", b.names.ns, err)
			}
		}
	}
	if err := p.addPast(ctx, b.names); err != nil {
		return err
	}
	b.opened = true
	return nil
}

// addPast adds the subject of what was moved to the journals' stream. What an operator
// has set there stays as it is.
func (p *provisioner) addPast(ctx context.Context, names Names) error {
	want := names.past(names.runsFilter())
	var have struct {
		Config map[string]json.RawMessage `json:"config"`
	}
	stream := names.RunsStream()
	if slices.Contains(p.found[stream].Config.Subjects, want) {
		return nil
	}
	var subjects []string
	err := p.request(ctx, "$JS.API.STREAM.INFO."+stream, struct{}{}, &have)
	if err == nil {
		err = json.Unmarshal(have.Config["subjects"], &subjects)
	}
	if err == nil && !slices.Contains(subjects, want) {
		if have.Config["subjects"], err = json.Marshal(append(subjects, want)); err == nil {
			err = p.request(ctx, "$JS.API.STREAM.UPDATE."+stream, have.Config, nil)
		}
	}
	if err != nil {
		return fmt.Errorf("add the subject %s to stream %s: %w", want, stream, err)
	}
	return nil
}
