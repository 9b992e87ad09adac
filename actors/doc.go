// Package actors hosts virtual actors: kind and key name one that always
// exists, and is activated on a node when a message needs it.
//
//	actors.New(actors.Handlers[Stock]{
//		actors.On(Reserve, func(ctx durable.Context, s *Stock, t Take) (Taken, error) {
//			if s.Left < t.Count {
//				return Taken{}, durable.Fail("sold_out", "asked for %d, %d left", t.Count, s.Left)
//			}
//			s.Left -= t.Count
//			return Taken{Slip: durable.NewID(ctx)}, nil
//		}),
//		actors.OnQuery(Level, func(s Stock, _ durable.None) (int, error) { return s.Left, nil }),
//	})
//
// State is a parameter: it changes with the run that changed it, or not at all.
//
// [New], [On], [OnQuery] and [Handlers] are all that programs with actors use.
// Everything else here is for the package perdure, which hosts actors by it and
// asks about their runs, and may change.
//
// # Who owns what
//
// A [Host] has one pump for each partition that its process owns, and a pump one
// activation for each identity that has something to do. Each goroutine has an
// owner that ends it:
//
//   - [Host.Run] is the caller's. It owns a goroutine for each pump, and, while
//     the host leaves, one that refuses what still comes; it returns when all of
//     them have ended.
//   - A pump owns what works for its partition: the sweep, the look for idle
//     activations, and for each activation at most one execution (or look-up, or
//     removal of records), with the acknowledgements that follow it, and reads of
//     messages. It begins none once it waits for their end. One more watches for
//     the end of the lease while messages are taken.
//   - An activation runs in its mailbox, a goroutine of the actor system's while
//     there are messages. Its pump stops it, or it stops itself when it is idle.
//   - A host's alarms own a timer, which is stopped with the last pump's; what it
//     wakes, a pump begins.
//   - Steps belong to the execution, which waits for them (package runtime).
//   - An [Index] owns two goroutines while it is used; they end with the context
//     of [NewIndex].
//
// Locks are held for moments, never while something is stored, sent or run. A
// pump's lock (its activations) may be held while a mailbox is made, or a message
// put into one; a share's lock while the host's count of what is held is taken; that
// of the places while who gets one begins, and so notes that a task has left its line.
// No other two are held together. While a pump brings in what was put off, it holds a
// lock that nothing else waits for but the reading of its own messages. What an
// activation knows has no lock: only its mailbox changes it.
package actors
