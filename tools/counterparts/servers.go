package main

import "context"

func (b *toolbox) servers(context.Context, *verdict) error { return nil }
