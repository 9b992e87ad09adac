package durable

// maxStatus is the largest status, in bytes: it is for people.
const maxStatus = 16 << 10

// SetStatus makes v what the run shows of itself to whoever looks at it: to
// Client.Get, perdure show and runs.get, while it runs and after. Reading it wakes
// nothing. It is stored with the run's next entry, so that what is set and set
// again between two waits is stored once. The error is [ErrInvalid] for a value
// that cannot be encoded, and [ErrTooLarge] for one of more than 16 KiB.
//
//	durable.SetStatus(ctx, fmt.Sprintf("%d of %d packed", n, len(boxes)))
//
// Wrong: SetStatus in a step; its body has no durable context. A step says things
// with [Annotate].
func SetStatus[T any](ctx Context, v T) error {
	p, err := Encode(v)
	if err != nil {
		return Fail(ErrInvalid.Code, "what the run is to show: %v", err)
	}
	if n := len(p.GetData()); n > maxStatus {
		return Fail(ErrTooLarge.Code, "what the run is to show has %d bytes; at most %d are kept: show less", n, maxStatus)
	}
	ctx.engine().SetStatus(p)
	return nil
}
