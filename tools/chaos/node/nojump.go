//go:build !chaosclock

package main

import "time"

func setClock(time.Duration) {}
