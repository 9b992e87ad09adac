package main

import (
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"runtime/pprof"
)

// A profile writes profiles of the measured part of a scenario.
type profile struct {
	cpu, mem, block string // files; empty: none
	file            *os.File
}

// start begins the profiles of CPU time and of blocking.
func (p *profile) start() error {
	if p.block != "" {
		goruntime.SetBlockProfileRate(blockRate)
	}
	if p.cpu == "" {
		return nil
	}
	f, err := os.Create(p.cpu)
	if err != nil {
		return fmt.Errorf("write a CPU profile: %w", err)
	}
	p.file = f
	return pprof.StartCPUProfile(f)
}

// blockRate is how many nanoseconds goroutines wait for one sample of it.
const blockRate = 10_000

// stop ends the CPU profile, and writes those of allocations and of blocking.
func (p *profile) stop() (err error) {
	if p.file != nil {
		pprof.StopCPUProfile()
		err = p.file.Close()
		p.file = nil
	}
	if p.mem != "" {
		goruntime.GC()
		err = errors.Join(err, writeProfile("allocs", p.mem))
	}
	if p.block != "" {
		goruntime.SetBlockProfileRate(0)
		err = errors.Join(err, writeProfile("block", p.block))
	}
	return err
}

func writeProfile(profile, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write the profile %s: %w", profile, err)
	}
	return errors.Join(pprof.Lookup(profile).WriteTo(f, 0), f.Close())
}
