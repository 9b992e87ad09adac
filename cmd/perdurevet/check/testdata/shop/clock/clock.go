// Package clock is about time.
package clock

import (
	"context"
	"time"

	"github.com/perdure/perdure/durable"
)

var deadline = time.Now() // before any workflow

func workflow(ctx durable.Context, d time.Duration) (time.Time, error) {
	began := time.Now()    // want `^workflow calls time.Now: a replay sees another time; use durable.Now, `
	_ = time.Since(began)  // want `workflow calls time.Since`
	time.Sleep(d)          // want `workflow calls time.Sleep`
	<-time.After(d)        // want `calls time.After` `receives from a channel`
	t := time.NewTicker(d) // want `calls time.NewTicker`
	t.Stop()
	time.AfterFunc(d, func() {}).Stop()                       // want `calls time.AfterFunc`
	_, cancel := context.WithTimeout(context.Background(), d) // want `calls context.WithTimeout`
	cancel()
	now := time.Now // want `calls time.Now`
	return now(), nil
}

func good(ctx durable.Context, d time.Duration) (string, error) {
	began := durable.Now(ctx)
	if err := durable.Sleep(ctx, d); err != nil {
		return "", err
	}
	took := durable.Now(ctx).Sub(began).Round(time.Second)
	if t, err := time.Parse(time.RFC3339, "2026-01-01T00:00:00Z"); err == nil && t.Before(deadline) {
		return took.String(), nil
	}
	at, err := durable.Step(ctx, "look", func(ctx context.Context) (time.Time, error) {
		time.Sleep(time.Millisecond)
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		return time.Now(), nil
	})
	return at.String(), err
}

// plain is no workflow code, and nobody calls it from any.
func plain() time.Time { // want plain:"calls time.Sleep"
	time.Sleep(1)
	return time.Now()
}

var Kind = durable.Workflow(durable.DeclareWorkflow[int, int]("clock"), func(ctx durable.Context, n int) (int, error) {
	return time.Now().Day() + n, nil // want `^workflow code calls time.Now`
})

func bind() *durable.Kind { // want bind:"calls time.Now"
	began := time.Now()
	return durable.Workflow(durable.DeclareWorkflow[int, int]("bound"), func(ctx durable.Context, n int) (int, error) {
		return began.Day() + time.Now().Day(), nil // want `^workflow code calls time.Now`
	})
}
