package broker

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/perdure/perdure/schemas"
)

// The condition of an append names the entry that it follows, of its run or of its
// identity (P01), and the server keeps it with the entry: entries are a chain, from the
// last one back. To follow it costs one look-up of a sequence an entry, however
// many others lie between two of them. A scan walks over those: with many runs
// at once that is thousands for each entry, within the server's loop that reads
// from this connection.

const (
	// chainWindow is after how many entries a chain is looked at: where they lie
	// close together, a scan reads many of them at once.
	chainWindow = 32
	// chainClose is how many messages of the stream an entry may stand for, where
	// a scan is cheaper than a look-up each.
	chainClose = 16
)

// chain returns the entries of a run in order, from the last one that replaces
// those before it. Where ok is false, a scan has to tell: the chain does not lead
// to where the run begins, or a scan is cheaper.
func (j *Journal) chain(ctx context.Context, ref schemas.Ref) (entries []schemas.Stored, ok bool, err error) {
	subject := j.b.names.RunSubject(ref)
	identity := subject[:strings.LastIndexByte(subject, '.')+1]
	m, ok, err := j.b.runs.get(ctx, query{LastBy: subject})
	if err != nil || !ok {
		return nil, err == nil, err
	}
	window := m.seq
	for n := 1; ; n++ {
		s, err := j.stored(m)
		if err != nil {
			return nil, false, err
		}
		if s.Ref == ref {
			entries = append(entries, s)
			if begins(s.Entry) {
				break
			}
		} else if s.Entry.GetRecord().GetOpen() != ref.String() {
			return nil, false, nil // not what was refused meanwhile
		}
		if n%chainWindow == 0 {
			if window-m.seq < chainWindow*chainClose || len(entries) < n/2 {
				return nil, false, nil
			}
			window = m.seq
		}
		before, err := strconv.ParseUint(m.header.Get(hdrExpectedSeq), 10, 64)
		if err != nil || before >= m.seq {
			return nil, false, nil
		}
		if before == 0 {
			break
		}
		m, ok, err = j.b.runs.bySeq(ctx, before)
		if err != nil || !ok || !strings.HasPrefix(m.subject, identity) {
			return nil, false, err
		}
	}
	slices.Reverse(entries)
	return entries, true, nil
}

// begins reports whether nothing of a run that counts is before an entry.
func begins(e *schemas.Entry) bool {
	return e.Replaces() || slices.ContainsFunc(e.GetEvents(), func(ev *schemas.Event) bool { return ev.GetStarted() != nil })
}

// bySeq returns the message of a sequence. It never changes, so any replica may
// tell.
func (r *reader) bySeq(ctx context.Context, seq uint64) (message, bool, error) {
	m, ok, err := r.getDirect(ctx, query{Seq: seq})
	if err == nil && !ok && !r.direct {
		return r.get(ctx, query{Seq: seq}) // a follower may be behind
	}
	return m, ok, err
}
