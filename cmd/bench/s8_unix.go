//go:build unix

package main

import "syscall"

// hang stops a process as if its machine had stopped.
func hang(p *process) error { return p.cmd.Process.Signal(syscall.SIGSTOP) }
