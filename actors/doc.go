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
package actors
