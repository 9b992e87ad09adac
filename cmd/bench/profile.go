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
	cpu, mem string // files; empty: none
	file     *os.File
}

// start begins the CPU profile.
func (p *profile) start() error {
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

// stop ends the CPU profile and writes that of allocations.
func (p *profile) stop() (err error) {
	if p.file != nil {
		pprof.StopCPUProfile()
		err = p.file.Close()
		p.file = nil
	}
	if p.mem == "" {
		return err
	}
	f, ferr := os.Create(p.mem)
	if ferr != nil {
		return errors.Join(err, fmt.Errorf("write a profile of allocations: %w", ferr))
	}
	goruntime.GC()
	return errors.Join(err, pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
