package config_test

import (
	"flag"
	"fmt"
	"os"

	"github.com/perdure/perdure/config"
)

// A program of a user's own has the settings of `perdure node`.
func Example() {
	flags := flag.NewFlagSet("shop", flag.ContinueOnError) // flag.CommandLine in a main
	source := config.Flags(flags)
	if err := flags.Parse([]string{"--max-runs", "100", "--keep", "failed=30d"}); err != nil {
		fmt.Println(err)
		return
	}
	source.Environ = []string{"PERDURE_NAMESPACE=shop"} // os.Environ in a main
	cfg, err := source.Load()
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := cfg.Print(os.Stdout); err != nil { // then perdure.OpenConfig(ctx, cfg, perdure.Host(kinds...))
		fmt.Println(err)
	}
	// Output:
	// namespace: shop       # $PERDURE_NAMESPACE
	// pool: default         # default
	// durability: disk      # default
	// dir: perdure-data     # default
	// retention: 24h        # default
	// keep: {failed: 720h}  # --keep
	// grace: 10s            # default
	// suspend_after: 30s    # default
	// max_runs: 100         # --max-runs
	// payload_cap: 64MiB    # default
	// max_crashes: 5        # default
	// capacity: 100         # default
	// log:
	//   level: info         # default
	//   format: text        # default
}
