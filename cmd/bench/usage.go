package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
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
