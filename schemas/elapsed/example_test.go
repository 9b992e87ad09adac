package elapsed_test

import (
	"fmt"
	"time"

	"github.com/perdure/perdure/schemas/elapsed"
)

// A lease of an hour that was gained just now.
func Example() {
	gained := elapsed.Now()
	fmt.Println("over:", elapsed.Now()-gained > time.Hour)
	// Output: over: false
}
