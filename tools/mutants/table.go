package main

// A mutant is a way to break the product, and the tests that must notice.
type mutant struct {
	name   string
	breaks string // the promise
	file   string
	old    string // occurs once in the file
	new    string
	by     []tests // in turn, until one fails
	cheap  bool    // killed in a few seconds: -check does it, too
}

// tests are tests of a package, whose tests use rapid, but for the module's root: what a
// mutant fails there is not to be kept.
type tests struct{ pkg, run string }

func contracts(run string) tests { return tests{"./contracts", run} }
func engine(run string) tests    { return tests{"./runtime", run} }
func hosts(run string) tests     { return tests{"./actors", run} }

// power is the proof that loss of power takes nothing that was acknowledged.
var power = []tests{{"./tools/powercut", "TestPowerCut_NothingAcknowledgedIsLost"}}

// memory is the environment of the contracts of Restate in which nothing suspends.
func memory(contract string) tests { return contracts("TestRestate/waits_in_memory/" + contract) }

var table = []mutant{
	{
		name: "fence off", breaks: "P01: an append is conditioned on the identity's last entry", file: "broker/journal.go",
		old: "m.wide = nats.Header{hdrExpectedSeq: m.seq[:], hdrExpectedSubject: m.filter[:]}",
		new: "m.wide = nats.Header{}",
		by:  []tests{contracts("TestZombieIsFenced")},
	},
	{
		name: "fence of a claimed run off", breaks: "P01: behind its claim an append is conditioned on the run's last entry", file: "broker/journal.go",
		old: "m.own = nats.Header{hdrExpectedSeq: m.seq[:]}",
		new: "m.own = nats.Header{}",
		by:  []tests{hosts("TestJournalOfTheBrokerKeepsTheContract/embedded")},
	},
	{
		name: "a claim on its run alone", breaks: "P01: a claim is conditioned on the identity's last entry", file: "runtime/executor.go",
		old: "if !x.claimed || x.open != ref {",
		new: "if x.open != ref {",
		by:  []tests{engine("TestP01_AClaimIsOnTheWholeIdentity")},
	},
	{
		name: "deduplication off", breaks: "P21: the journal drops repeats of a task", file: "runtime/execute.go",
		old: "if end := x.Find(ctx, t.Ref); end != nil {",
		new: "if end := x.Find(ctx, t.Ref); end != nil && end.Kind == Behind {",
		by:  []tests{memory("proxied_once|counter_idempotent")},
	},
	{
		name: "deduplication of signals off", breaks: "P15: a signal is taken once", file: "runtime/signal.go",
		old: "if _, seen := s.seen[id]; seen {", new: "if _, seen := s.seen[id]; seen && at < 0 {",
		by: []tests{memory("unblocked_before_it_waits")},
	},
	{
		name: "a missed time of a rate is taken", breaks: "a rate holds after an outage", file: "runtime/permit.go",
		old: "c.Now().Sub(at) <= late ||", new: "true ||",
		by: []tests{engine("TestLimit_ARateHoldsAfterAnOutage")},
	},
	{
		name: "runs that wake up take no place", breaks: "MaxRuns bounds what executes", file: "runtime/execute.go",
		old: `if places != nil && startedOf(entries).GetParent() == "" {`, new: `if places != nil && places == nil {`,
		by: []tests{hosts("TestRunsThatWakeUpWaitForAPlace")},
	},
	{
		name: "a full inbox takes more", breaks: "MaxWaiting bounds what waits", file: "broker/admit.go",
		old: "if a.left <= 0 || !fresh", new: "if a.left < -1<<40 || !fresh",
		by: []tests{{"./broker", "TestAdmit_AFullInboxMakesWait"}}, cheap: true,
	},
	{
		name: "what was replaced is removed at the first attempt, or never", breaks: "P19: entries that were replaced go though a server is away", file: "broker/remains.go",
		old: "if l.pause(ctx, jitter(pause)) != nil {", new: "if l.pause(ctx, jitter(pause)) != nil || entries != nil {",
		by: []tests{{"./broker", "TestRemains_"}},
	},
	{
		name: "a node ends before what was replaced is removed", breaks: "P19: a node that ends removes what it has replaced", file: "broker/remains.go",
		old: "r.pending.Load() > 0 &&", new: "r.pending.Load() < 0 &&",
		by: []tests{{"./broker", "TestRemains_"}},
	},
	{
		name: "a kind that floods keeps out the others", breaks: "a full inbox takes tasks of kinds that have few in it", file: "broker/admitkind.go",
		old: "return a.most > 0 && a.found >= a.most &&", new: "return a.most < 0 && a.found >= a.most &&",
		by: []tests{{"./broker", "TestAdmit_AKindThatFloods"}},
	},
	{
		name: "a kind that floods is one that has few", breaks: "MaxWaiting bounds what waits", file: "broker/admitkind.go",
		old: "left := k.a.minor() - n", new: "left := k.a.minor() - min(n, 0)",
		by: []tests{{"./broker", "TestAdmit_AKindThatFloods"}},
	},
	{
		name: "kinds that have few are let in without end", breaks: "an inbox has a quarter more than MaxWaiting at most", file: "broker/admitkind.go",
		old: "	if a.found >= a.most+a.most/minorPart {\n", new: "	if a.found < 0 {\n",
		by: []tests{{"./broker", "TestAdmission_KindsThatHaveFew"}},
	},
	{
		name: "a full inbox holds up steps", breaks: "what goes on starts what it needs", file: "client.go",
		old: "if _, step := runtime.StepFrom(ctx); !step {", new: "if _, step := runtime.StepFrom(ctx); step || !step {",
		by: []tests{{".", "TestMaxWaiting_WhoStartsARunWaits"}},
	},
	{
		name: "timers early", breaks: "a timer fires when it is due, and not before", file: "runtime/dispatch.go",
		old: "Due: now.Add(f.wait + within).UnixNano()", new: "Due: now.Add(f.wait/2 + within).UnixNano()",
		by: []tests{memory("sleep_lasts|sleeps_together|delayed")},
	},
	{
		name: "timers by the machine's clock", breaks: "P25: due times are the broker's", file: "runtime/clock.go",
		old: "return c.Clock()", new: "return time.Now(), 0",
		by: []tests{engine("TestP25_TimersAreDueByTheStoresClock")},
	},
	{
		name: "a measure of the clock that took long is taken", breaks: "P25: a timer is late by little", file: "broker/clock.go",
		old: "n < measuresAtOnce &&", new: "n < 1 &&",
		by: []tests{{"./broker", "TestClock_IsMeasuredAgain"}},
	},
	{
		name: "a clock that is set is not seen", breaks: "P25: a timer in memory goes by the broker's clock", file: "runtime/live.go",
		old: "case d > clockLook:", new: "case d < 0:",
		by: []tests{engine("TestP25_AClockThatIsSet")},
	},
	{
		name: "signals unbuffered", breaks: "P15: a signal is kept until it is awaited", file: "runtime/signal.go",
		old: "s.values[e.GetName()] = append(s.values[e.GetName()], &kept{", new: "_ = append(s.values[e.GetName()], &kept{",
		by: []tests{memory("resolved_from_within"), contracts("TestKitchenSink$")},
	},
	{
		name: "acknowledged before the append", breaks: "P12: a message carries its run until that is stored", file: "actors/pump.go",
		old: "	u.unwrap(it)\n", new: "	u.unwrap(it)\n	u.ack(it)\n",
		by: []tests{contracts("TestAcceptedWorkIsDoneOnce")},
	},
	{
		name: "outbox dropped at a take-over", breaks: "P16: who comes next finishes the effects of a record", file: "runtime/executor.go",
		old: "if end := x.settle(ctx, head.Ref, rec, head.Seq); end != nil {", new: "if end := (*Ending)(nil); end != nil {",
		by: []tests{engine("TestRandomProgramsUnderCrashes")},
	},
	{
		name: "claim not awaited", breaks: "P02: nothing is executed before the claim is stored", file: "runtime/execute.go",
		old: "if end := x.append(ctx, t.Ref, e); end != nil {", new: "if end := x.append(ctx, t.Ref, e); end != nil && end.Kind == Stopped {",
		by: []tests{engine("TestP02_EveryEntry")},
	},
	{
		name: "no claim at a take-over", breaks: "P02: an owner claims before it executes", file: "runtime/execute.go",
		old: "if x.claimed && !poisoned {", new: "if (x.claimed || x.head != 0) && !poisoned {",
		by: []tests{engine("TestP02|TestG2"), contracts("TestZombieIsFenced")},
	},
	{
		name: "compensations forward", breaks: "the last compensation that was registered runs first", file: "runtime/saga.go",
		old: "range slices.Backward(c.run.undo)", new: "range slices.All(c.run.undo)",
		by: []tests{memory("undoes_in_reverse")},
	},
	{
		name: "versions unrecorded", breaks: "a run follows the version that it began with", file: "runtime/version.go",
		old: "r.aside = append(r.aside, &schemas.Event{Kind: &schemas.Event_Versioned{Versioned: &schemas.Versioned{Change: change, Version: v}}})",
		new: "",
		by:  []tests{engine("Version|CodeIsChanged")}, cheap: true,
	},
	{
		name: "message IDs made anew", breaks: "P22: a replay sends the same message", file: "runtime/call.go",
		old: `r.derive("message", path)`, new: `r.derive("message", path+strings.Repeat(" ", r.info.Attempt))`,
		by: []tests{engine("TestRandomProgramsUnderCrashes")},
	},
	{
		name: "wake-up not stored", breaks: "P12: a suspended run is carried by its wake-up", file: "runtime/suspend.go",
		old: "if err := l.cfg.Wakes.Set(ctx, l.r.ref, timer, due, env); err != nil {", new: "if err := error(nil); err != nil || env == nil {",
		by: []tests{engine("TestP12")}, // a host wakes what it has suspended itself
	},
	{
		name: "wake-up removed as the run ends", breaks: "P12: what a run leaves is carried until it is confirmed", file: "runtime/finish.go",
		old: "	out := rec.GetOutbox()\n", new: "	out := rec.GetOutbox()\n	_ = x.cfg.Wakes.Cancel(ctx, ref, \"\")\n",
		by: []tests{engine("TestP12"), hosts("TestP12_WakeUp")},
	},
	{
		name: "waiting tasks do not look again", breaks: "a late owner holds nothing up (decision 39)", file: "actors/activation.go",
		old: "	if a.busy || a.halted || a.open == nil || !a.asleep || a.pump.draining()", new: "	if a.busy || !a.busy || a.halted || a.open == nil || !a.asleep || a.pump.draining()",
		by: []tests{hosts("TestTaskBehindASuspendedRun")},
	},
	{
		name: "mismatch unnoticed", breaks: "guarantee 6: same input, same decisions", file: "runtime/replay.go",
		old: "case f.kind != kind, name != \"\" && f.name != name:", new: "case f.kind == \"\":",
		by: []tests{contracts("TestRestate/every_wait_suspends/mismatch"), engine("TestG6|Replay")},
	},
	{
		name: "lease not looked at", breaks: "P06: nothing begins once the lease has lapsed", file: "runtime/executor.go",
		old: "case held:", new: "case held || x.head != 0:",
		by: []tests{engine("TestP06")},
	},
	{
		name: "a member that is back claims nothing", breaks: "P10: who was taken for dead keeps only what it has written again", file: "cluster/ownkey.go",
		old: "look = m.reclaim", new: "look = m.readOwner",
		by: []tests{{"./cluster", "TestMember"}}, cheap: true,
	},
	{
		name: "a lapsed lease is waited for by nobody", breaks: "an outage of NATS drops no partition", file: "cluster/lease.go",
		old: "for !s.good() {", new: "if !s.good() {\n\t\treturn false\n\t}\n\tfor !s.good() {",
		by: []tests{{"./cluster", "TestLease_HoldsOnUntilItIsKnown"}},
	},
	{
		name: "who watches for a member too young is nobody", breaks: "P10: a killed node is found by no responders", file: "cluster/probe.go",
		old: "case !ring[i].young:", new: "default:",
		by: []tests{{"./cluster", "TestP10_Judge|TestP10_KilledBehind"}},
	},
	{
		name: "what was lost with a connection is not missed", breaks: "P08: a feed ends at a gap", file: "broker/pull.go",
		old: "if l.last.Load() < l.sent && time.Since(l.back) >= missingWait {", new: "if l.last.Load()+1<<40 < l.sent && time.Since(l.back) >= missingWait {",
		by: []tests{{"./broker", "TestP08_MessagesLostWithTheConnectionEndTheFeed"}},
	},
	{
		name: "a consumer that forgot counts on", breaks: "P08: a feed ends at a gap", file: "broker/pull.go",
		old: "l.sent < last {", new: "l.sent+1<<40 < last {",
		by: []tests{{"./broker", "TestPuller_ALeaderThatForgotEndsIt"}},
	},
	{
		name: "a consumer that forgot is caught up", breaks: "P16: a record goes when nothing of it is on its way", file: "broker/feed.go",
		old: "info.Delivered.Consumer < f.pull.legs[i].last.Load()", new: "info.Delivered.Consumer+1<<40 < f.pull.legs[i].last.Load()",
		by: []tests{{"./broker", "TestP08_AConsumerForgetsWithAllOfItsServers"}},
	},
	{
		name: "signals forgotten by continue-as-new", breaks: "a run that continues as new keeps what it has not awaited", file: "runtime/generation.go",
		old: "append(r.signals.left(), later...)", new: "later",
		by: []tests{engine("TestContinueAsNew"), contracts("TestKitchenSinkSuspended")},
	},
	{
		name: "limit one too many", breaks: "no more runs at once than a limit says", file: "runtime/limiter.go",
		old: "return int(l.GetHold().GetMax())", new: "return int(l.GetHold().GetMax()) + 1",
		by: []tests{memory("stays_within_its_limit")},
	},
	{
		name: "attempts unbounded", breaks: "a step is tried as often as its policy says", file: "runtime/retry.go",
		old: "attempt >= p.Attempts", new: "attempt > p.Attempts",
		by: []tests{memory("step_is_retried")},
	},
	{
		name: "runs stay where their build is not", breaks: "a run goes on where its build is", file: "runtime/build.go",
		old: "!x.cfg.Deployed.Elsewhere(x.kind.Name, build) {", new: "!x.cfg.Deployed.Elsewhere(x.kind.Name, build) || build != \"\" {",
		by: []tests{hosts("TestLend_RunsStay")},
	},
	{
		name: "what is lent acknowledged by nobody", breaks: "the owner acknowledges what its borrower is done with", file: "actors/lend.go",
		old: "if l.pump.ack(items...); l.pump.ctx.Err() != nil {", new: "if l.pump.ctx.Err() != nil {",
		by: []tests{hosts("TestLend_RunsStay")},
	},
	{
		name: "a loan outlives its owner", breaks: "what was lent ends with the owner's epoch", file: "cluster/guest.go",
		old: "if g.epoch != m.roster.slots[p].owner.GetEpoch()", new: "if g.epoch == 0",
		by: []tests{{"./cluster", "TestGuest"}},
	},
	{
		name: "a moved run is not looked for", breaks: "P21: a repeat of a task is dropped, also of a run that was moved", file: "runtime/executor.go",
		old: "	look := x.cfg.Journal.Last\n", new: "	look := x.cfg.Journal.Unmoved\n",
		by: []tests{hosts("TestP01_RunsThatEnded")},
	},
	{
		name: "removed before it is copied", breaks: "P01: what is not in the journals was copied before", file: "broker/past.go",
		old: "if err := j.copyRun(ctx, s.Ref, run); err != nil {", new: "if err := j.copyRun(ctx, s.Ref, run[:0]); err != nil {",
		by: []tests{{"./broker", "TestP01_WhatWasMovedIsFound|TestP01_AMoveThatIsInterrupted"}},
	},
	{
		name: "the head goes before what was moved", breaks: "P16: an identity whose head is gone has no run that was moved", file: "actors/sweep.go",
		old: "if moved && r.seq == head {", new: "if moved && head == 0 {",
		by: []tests{hosts("TestP16_TheHeadGoesAfter")},
	},
	{
		name: "a lost run is not woken", breaks: "what nothing brings back is repaired", file: "actors/auditruns.go",
		old: "mend:  func(ctx context.Context) error { return a.wake(ctx, ref, seq) },", new: "mend:  func(context.Context) error { return nil },",
		by: []tests{hosts("TestAudit_ARunThatNothing")},
	},
	{
		name: "an owner key that cannot be read is passed over", breaks: "what nobody can read is found, and repaired", file: "actors/auditmembers.go",
		old: "if o.Unreadable == nil {", new: "if o.Owner.GetNode() == \"\" {",
		by: []tests{hosts("TestP08_AuditSpares")},
	},
	{
		name: "the consumers of an unreadable owner are strays", breaks: "P08: an audit takes nothing from an owner who may live", file: "actors/auditmembers.go",
		old: "if unknown[at] {", new: "if unknown[at] && c.Epoch == 0 {",
		by: []tests{hosts("TestP08_AuditSpares")},
	},
	{
		name: "a note is counted as what is left", breaks: "what is harmless fails no audit", file: "actors/audit.go",
		old: "if !f.Repaired && !f.Note {", new: "if !f.Repaired {",
		by: []tests{hosts("TestP19_AuditFindsEntries")},
	},
	{
		name: "a note is counted as what should not be", breaks: "what is harmless alarms nobody", file: "actors/auditor.go",
		old: "if f.Note {", new: "if f.Note && !f.Repaired {",
		by: []tests{hosts("TestP19_TheOwnerRemoves")},
	},
	{
		name: "the owner leaves entries below a record", breaks: "P19: the owner removes entries that a record stands for", file: "actors/auditruns.go",
		old: "} else if last.More && !rec.GetHistory() {", new: "} else if last.More && rec == nil {",
		by: []tests{hosts("TestP19_TheOwnerRemoves")},
	},
	{
		name: "an older build is the newest", breaks: "new runs are of the build that came last", file: "cluster/builds.go",
		old: "newest.GetSince() < b.GetSince()", new: "newest.GetSince() > b.GetSince()",
		by: []tests{{"./cluster", "TestBuilds"}, hosts("TestLend_RunsStay")},
	},
	{
		name: "block not fsynced", breaks: "at durability disk an acknowledged message is on disk", file: "broker/disk.go",
		old: "			dirty = append(dirty, dirtyFile{path: b.link, file: b.file, block: b, size: info.Size()})", new: "			b.size = info.Size()",
		by: power,
	},
	{
		name: "folder not fsynced", breaks: "the file of an acknowledged message has its name on disk", file: "broker/disk.go",
		old: "	if s.fresh {\n", new: "	if s.fresh && s.last < 0 {\n",
		by: power,
	},
	{
		name: "folders above not fsynced", breaks: "the folder of streams is on disk before anything in it is acknowledged", file: "broker/embed.go",
		old: "err = makeFolders(cfg.Dir)", new: "err = nil",
		by: power,
	},
	{
		name: "a node that does not stand still", breaks: "a backup is of one moment", file: "broker/gate.go",
		old: "return g != nil && !strings.HasPrefix(subject, g.spared)", new: "return false",
		by: []tests{{"./broker", "TestBackup_NodesStandStill"}},
	},
	{
		name: "a backup that does not look at the journals", breaks: "a backup is of one moment, whatever nodes do", file: "broker/backup.go",
		old: "case r.stream == b.names.RunsStream() && was != is:", new: "case false:",
		by: []tests{{"./broker", "TestBackup_WhatChangesMeanwhileIsSeen"}},
	},
	{
		name: "a backup that does not look at inboxes", breaks: "a backup is of one moment, whatever nodes do", file: "broker/backup.go",
		old: "case b.names.isInbox(r.stream) && is.Last-was.Last != is.Messages-was.Messages:", new: "case false:",
		by: []tests{{"./broker", "TestBackup_WhatChangesMeanwhileIsSeen"}},
	},
	{
		name: "half a namespace is opened", breaks: "a restore that was interrupted is opened by no node", file: "broker/restore.go",
		old: "&schemas.Namespace{Version: layoutRestoring, Partitions", new: "&schemas.Namespace{Version: Layout, Partitions",
		by: []tests{{"./broker", "TestBackup_DamagedIsRefused"}},
	},
	{
		name: "a restored inbox begins anew", breaks: "P21: a message without an ID is the same run where it is restored", file: "broker/backup.go",
		old: "if metadata[beganKey] == \"\" {", new: "if false {",
		by: []tests{{"./broker", "TestBackup_FromOneServerToAnother"}},
	},
	{
		name: "epochs begin anew where a namespace is restored", breaks: "P02: an owner's epoch is above what the journals hold", file: "cluster/backup.go",
		old: "return proto.Marshal(&schemas.Owner{Epoch: owner.GetEpoch()})", new: "return proto.Marshal(&schemas.Owner{})",
		by: []tests{{"./cluster", "TestBackup_KeepsEpochs"}},
	},
}
