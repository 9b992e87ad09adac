//go:build chaosclock

package main

import (
	"fmt"
	"time"

	"github.com/perdure/perdure/tools/chaos/load"
)

// setClock sets by how much the wall clock of this process is ahead, and says so once
// it is. It needs the time.Now that the driver builds nodes with.
func setClock(d time.Duration) {
	time.WallAhead.Store(int64(d))
	if is := time.Since(load.RealNow().Add(d)); is.Abs() < 50*time.Millisecond { // the second has no monotonic part
		fmt.Println("clock", d)
	}
}
