// Package config has what a node is configured by: a YAML file, flags and environment
// variables, the weakest first.
//
//	source := config.Flags(flag.CommandLine) // --config FILE, and a flag for each setting
//	flag.Parse()
//	cfg, err := source.Load()
//	node, err := perdure.OpenConfig(ctx, cfg, perdure.Host(kinds...))
//
// A setting has one name, from which all others are made: max_runs in the file,
// --max-runs on the command line, PERDURE_MAX_RUNS in the environment; cluster.routes
// is a key below another. [Source.Load] returns everything that is wrong at once, as
// [Faults].
package config
