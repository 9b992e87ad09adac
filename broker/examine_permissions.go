package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// hdrExpectedStream makes a stream refuse a message that is for another one: so what
// is published to try it is never stored.
const hdrExpectedStream = "Nats-Expected-Stream"

// probeToken is the kind, the key and the name in what is tried: nobody has it.
const probeToken = "perdure-doctor"

// subscribe tries whether this user may subscribe to a subject.
func (e *examiner) subscribe(subject string) (denied bool) {
	sub, err := e.nc.SubscribeSync(subject)
	if err != nil {
		return true
	}
	defer func() { _ = sub.Unsubscribe() }()
	return e.denied(subject)
}

// denied reports whether the server has just refused a subject. It answers in order, so
// what it says about what was sent before is here when it has answered this.
func (e *examiner) denied(subject string) bool {
	if err := e.nc.FlushTimeout(examineAnswer); err != nil {
		return true
	}
	err := e.nc.LastError()
	return err != nil && strings.Contains(err.Error(), fmt.Sprintf("%q", subject))
}

// publish tries whether this user may publish on a subject. No stream stores it.
func (e *examiner) publish(subject, body string) (denied bool) {
	msg := &nats.Msg{Subject: subject, Data: []byte(body)}
	if !strings.HasPrefix(subject, "$JS.") {
		msg.Header = nats.Header{hdrExpectedStream: {probeToken}}
	}
	msg.Reply = e.nc.NewInbox() // nobody reads the answer
	if err := e.nc.PublishMsg(msg); err != nil {
		return true
	}
	return e.denied(subject)
}

// permissions tries what a node does, each so that nothing comes of it.
func (e *examiner) permissions(context.Context) {
	n, err := NewNames(e.cfg.Namespace, DefaultPartitions)
	if err != nil {
		return // it was said before
	}
	n.pool = e.cfg.Pool
	id := schemas.Identity{Kind: probeToken, Key: probeToken}
	ref := id.Run(probeToken)
	var pubs, subs, wide []string
	try := func(subject, body string, allow ...string) {
		if e.publish(subject, body) {
			pubs, wide = append(pubs, subject), append(wide, allow...)
		}
	}
	own := n.ns + ".>"
	for _, subject := range []string{
		n.TaskSubject(schemas.LocalDomain, id), n.TimerSubject(id, TimerID(ref.ID, probeToken)), n.RunSubject(ref), n.past(n.RunSubject(ref)),
		n.archiveSubject(ref), n.deadSubject(probeToken, probeToken), n.ns + ".blob." + probeToken, n.keptSubject(probeToken),
		n.Done(ref), n.Live(ref), n.Node(probeToken), n.NodeAsk(probeToken), n.nodeLive(probeToken), n.API(probeToken),
	} {
		try(subject, "", own)
	}
	for _, bucket := range []string{n.StateBucket(), n.ClusterBucket()} {
		try("$KV."+bucket+"."+probeToken, "", "$KV."+bucket+".>")
	}
	for _, verb := range []string{"INFO", "STREAM.NAMES"} {
		try("$JS.API."+verb, "{}", "$JS.API.>")
	}
	stream := n.RunsStream()
	// Each is of something else than its subject says, or of what is not there: refused.
	none := `{"name":"` + probeToken + `"}`
	for _, ask := range [][2]string{
		{"STREAM.INFO." + stream},
		{"STREAM.CREATE." + stream, none},
		{"STREAM.UPDATE." + stream, none},
		{"STREAM.MSG.GET." + stream, `{"seq":0}`},
		{"STREAM.MSG.DELETE." + stream, `{"seq":0}`},
		{"DIRECT.GET." + stream, `{"seq":0}`},
		{"STREAM.PURGE." + stream, `{"filter":"` + n.ns + `.` + probeToken + `"}`}, // which no message has
		{"CONSUMER.CREATE." + stream + "." + probeToken, `{"stream_name":"` + probeToken + `"}`},
		{"CONSUMER.INFO." + stream + "." + probeToken},
		{"CONSUMER.DELETE." + stream + "." + probeToken},
		{"CONSUMER.NAMES." + stream},
		{"CONSUMER.MSG.NEXT." + stream + "." + probeToken},
	} {
		try("$JS.API."+ask[0], ask[1], "$JS.API.>")
	}
	try("$JS.ACK."+stream+"."+probeToken+".1.1.1.1.1", "", "$JS.ACK.>")
	for _, subject := range []string{n.Node(probeToken), n.NodeAsk(probeToken), n.nodeLive(probeToken), n.API(probeToken), n.doneFilter(probeToken), n.Live(ref)} {
		if e.subscribe(subject) {
			subs = append(subs, subject)
		}
	}
	if node := n.Node(probeToken); !slices.Contains(pubs, node) && !slices.Contains(subs, node) && !e.responds(node) {
		pubs, wide = append(pubs, "_INBOX.> (it cannot answer requests)"), append(wide, "_INBOX.>")
	}
	e.mayDo(pubs, subs, wide)
}

// responds tries whether this user may answer what is asked on a subject.
func (e *examiner) responds(subject string) bool {
	sub, err := e.nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond(nil) }) // no answer is an answer
	if err != nil {
		return false
	}
	defer func() { _ = sub.Unsubscribe() }()
	_, err = e.nc.Request(subject, nil, examineAnswer)
	return err == nil
}

// mayDo says which permissions are missing.
func (e *examiner) mayDo(pubs, subs, wide []string) {
	if len(pubs)+len(subs) == 0 {
		e.say("permissions", OK, fmt.Sprintf("this user may do on namespace %s what a node does", e.cfg.Namespace), "")
		return
	}
	var found, do []string
	if len(pubs) > 0 {
		slices.Sort(pubs)
		slices.Sort(wide)
		found = append(found, "may not publish on "+someOf(pubs))
		do = append(do, "allow the user to publish on "+strings.Join(slices.Compact(wide), ", "))
	}
	if len(subs) > 0 {
		found = append(found, "may not subscribe to "+someOf(subs))
		do = append(do, "allow the user to subscribe to "+e.cfg.Namespace+".>, $SRV.> and _INBOX.>")
	}
	e.say("permissions", Fail, "this user "+strings.Join(found, ", and "), strings.Join(do, "; ")+". A client needs less than a node: see the guide on deploying")
}

// someOf lists the first few of many.
func someOf(all []string) string {
	const most = 4
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}
