// Package runtimetest is a store of runs in memory, the executable contracts of
// the interfaces that the engine needs of a store, and a [World] that runs
// kinds on it, with restarts at any point.
//
//	w := runtimetest.NewWorld(kind)
//	defer w.Close()
//	w.Start()
//	w.CrashAt(runtimetest.Before, 3) // at the third write
//	rec, err := w.Do(ctx, ref, "", input)
//
// It is for tests alone. In a bubble of testing/synctest a World waits for days
// in no time.
package runtimetest
