package main

import "context"

func (b *toolbox) clients(context.Context, *verdict) error { return nil }
