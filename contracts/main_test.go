package contracts_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain runs two tests at a time, however many `make test` allows: what is
// held here is how often steps run while nodes and servers die, and a machine
// that is short of processor time makes attempts of its own.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "2"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
