// Package excepted has exceptions.
package excepted

import (
	"time"

	"github.com/perdure/perdure/durable"
)

func workflow(ctx durable.Context, m map[string]int) (int, error) {
	_ = time.Now() //perdurevet:ignore it is only logged
	//perdurevet:ignore so is this
	_ = time.Now()
	_ = time.Now() // want `calls time.Now`
	_ = time.Now() /* want `calls time.Now` `//perdurevet:ignore needs a reason after it` */ //perdurevet:ignore
	_ = helper()   //perdurevet:ignore the helper is only logged
	//perdurevet:ignore each has a step of its own name
	for sku := range m {
		_ = durable.Sleep(ctx, time.Duration(len(sku)))
	}
	_ = time.Now() /* want `calls time.Now` */ //perdurevet:ignored is another word
	return quiet(), nil
}

func helper() time.Time { return time.Now() } // want helper:"calls time.Now"

func quiet() int {
	return time.Now().Day() //perdurevet:ignore the day does not matter
}
