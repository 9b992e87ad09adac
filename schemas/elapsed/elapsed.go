package elapsed

import "time"

var processStart = time.Now().Round(0) // wall clock: no monotonic reading

func sinceStart() time.Duration { return time.Now().Round(0).Sub(processStart) }
