//go:build !unix

package main

import "errors"

func hang(*process) error { return errors.New("a process cannot be stopped on this system") }
