package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"
)

// A usage is what a process, and the machine, had used at one moment.
type usage struct {
	at   time.Time
	cpu  time.Duration // of this process
	busy time.Duration // of all processes, 0 where it is not known
}

func usageNow() usage { return usage{at: time.Now(), cpu: processCPU(), busy: machineBusy()} }

// since returns the CPU time used since then, and how many cores the other
// processes of the machine used meanwhile.
func (u usage) since() (cpu time.Duration, others float64) {
	now := usageNow()
	cpu = now.cpu - u.cpu
	wall := now.at.Sub(u.at)
	if u.busy == 0 || wall <= 0 {
		return cpu, 0
	}
	return cpu, max(0, float64(now.busy-u.busy-cpu)/float64(wall))
}

// machineBusy reads /proc/stat, which counts in hundredths of a second.
func machineBusy() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	var busy time.Duration
	for i, f := range bytes.Fields(line) {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if i == 4 || i == 5 || i > 7 || err != nil { // idle, waiting for the disk, guests; the word cpu
			continue
		}
		busy += time.Duration(n) * 10 * time.Millisecond
	}
	return busy
}

// peakMB is the most memory that this process has had, in MB; without /proc it
// is what the Go runtime has from the system now.
func peakMB() float64 {
	if mb, ok := statusMB("self", "VmHWM:"); ok {
		return mb
	}
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return float64(m.Sys) / 1e6
}

// statusMB reads a size of a process from /proc.
func statusMB(pid, field string) (float64, bool) {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, false
	}
	_, rest, ok := bytes.Cut(text, []byte(field))
	if !ok {
		return 0, false
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) == 0 {
		return 0, false
	}
	kb, err := strconv.ParseFloat(string(fields[0]), 64)
	return kb * 1024 / 1e6, err == nil
}

// diskBytes adds up the files in a directory, each once whatever names it has; one
// that vanishes meanwhile does not count.
func diskBytes(dir string) (int64, error) {
	var sum int64
	var seen []fs.FileInfo
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !slices.ContainsFunc(seen, func(i fs.FileInfo) bool { return os.SameFile(i, info) }) {
			sum += info.Size()
			seen = append(seen, info)
		}
		return err
	})
	return sum, err
}

// residentMB is the memory that this process has now, in MB; without /proc it is the
// heap that the Go runtime uses.
func residentMB() float64 {
	if mb, ok := statusMB("self", "VmRSS:"); ok {
		return mb
	}
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return float64(m.HeapInuse) / 1e6
}

// settledMB is the memory that this process has when it has given back what it can:
// once it does not fall any more for two seconds, longer than the server keeps what
// it has read, or after twenty.
func settledMB(ctx context.Context, e env) (float64, error) {
	every, quiet, most := 250*time.Millisecond, 8, 80
	if e.tiny {
		every, quiet, most = 10*time.Millisecond, 2, 5
	}
	least, since := math.Inf(1), 0
	for range most {
		debug.FreeOSMemory()
		if now := residentMB(); now < 0.99*least {
			least, since = now, 0
		} else if since++; since >= quiet {
			break
		}
		if err := pauseFor(ctx, every); err != nil {
			return 0, err
		}
	}
	return least, nil
}
