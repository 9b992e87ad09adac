package runtimetest

import (
	"fmt"
	"time"

	"github.com/perdure/perdure/runtime"
)

// A loop counts generations of a run that would never end: nodes slow it down, and a
// test would hang.
type loop struct {
	idle int       // in a row that did nothing beside continuing as new
	all  int       // at one time of the clock, which stands still in a bubble
	at   time.Time // which
}

const (
	maxIdle = 1_000
	maxAll  = 20_000
)

// turned takes a generation in that continued as new. It returns an error once there
// were too many.
func (l *loop) turned(end *runtime.Ending) error {
	l.idle++
	if !end.Idle {
		l.idle = 0
	}
	l.all++
	if now := time.Now(); !now.Equal(l.at) {
		l.all, l.at = 1, now
	}
	switch {
	case l.idle >= maxIdle:
		return fmt.Errorf("has continued as new %d times in a row, and in between run no step, sent nothing and waited for nothing: let its code await a signal, an update or a timer before durable.ContinueAsNew, or return a result", l.idle)
	case l.all >= maxAll:
		return fmt.Errorf("has continued as new %d times at one time of the clock: let its code wait for something, e.g. durable.Sleep, before durable.ContinueAsNew, or return a result", l.all)
	}
	return nil
}
