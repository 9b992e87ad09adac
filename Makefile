# `make` lists the targets. Everything but `check` and `counterparts` needs Go, git and make only.

GO    ?= go
TOOL  := $(GO) tool -modfile=tools/go.mod
# What `make bench` runs: S1,S2 for these two, empty for all.
S     ?=
# -tiny runs each scenario once, small: it shows that the benchmarks work.
BENCH_FLAGS ?=
# What `make chaos` draws by, 0 for anything, and how long it does harm.
SEED  ?= 0
D     ?= 10m
# The commit that `make bench-compare` compares this tree with.
BASE  ?=
# Flags of go test that are the same in `test` and `check`, so that what the
# one has run the other takes from the cache. Most tests wait for processes and
# not for the processor: three at a time. `lint` vets, with more analyzers.
TEST_FLAGS ?= -timeout 20m -parallel 3 -vet=off
# A program that is built with -race, each node of a test included, otherwise
# takes a second to exit, in case something races after main has returned.
export GORACE ?= atexit_sleep_ms=0
# go build asks git for the commit, and git writes its index anew by the way: go test
# would run again what has looked at the folder that it is in.
export GIT_OPTIONAL_LOCKS ?= 0
# Succeeds where Go's race detector can be built: it needs a C compiler.
HAS_RACE := CGO_ENABLED=1 $(GO) build -race -o /dev/null runtime/cgo >/dev/null 2>&1

# -only servers, -only conformance, -only clients; -require.
COUNTERPARTS_FLAGS ?=

# The nats CLI that `make wire` plays.
NATS_CLI_VERSION ?= v0.5.1

.DEFAULT_GOAL := help
.PHONY: help demo test check race lint generate generated bench bench-compare chaos model mutants powercut wire counterparts clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: ## Kill an agent with SIGKILL in the middle of its work and watch it finish
	@$(GO) run ./cmd/demo

test: ## Run every test, with the race detector where a C compiler is found: minutes, silent at first
	@if $(HAS_RACE); then \
		echo "make test: C compiler found: with -race"; \
		CGO_ENABLED=1 $(GO) test -race $(TEST_FLAGS) ./...; \
	else \
		echo "make test: no C compiler found: without -race"; \
		CGO_ENABLED=0 $(GO) test $(TEST_FLAGS) ./...; \
	fi
	$(GO) -C cmd/perdurevet test $(TEST_FLAGS) ./...
	$(GO) -C tools/powercut test $(TEST_FLAGS) ./...
	$(GO) -C tools/chaos test $(TEST_FLAGS) ./...
	$(GO) -C tools/counterparts test $(TEST_FLAGS) ./...

check: race lint ## What CI runs: lint, then every test with the race detector, which it requires
	CGO_ENABLED=1 $(GO) test -race $(TEST_FLAGS) ./...
	$(GO) -C cmd/perdurevet test $(TEST_FLAGS) ./...
	$(GO) -C tools/powercut test $(TEST_FLAGS) ./...
	$(GO) -C tools/chaos test $(TEST_FLAGS) ./...
	$(GO) -C tools/counterparts test $(TEST_FLAGS) ./...
	@echo "make check: ok"

race:
	@$(HAS_RACE) || { echo "make check: the race detector cannot be built: install a C compiler (gcc or clang), or use 'make lint' and 'make test'" >&2; exit 1; }

lint: generated ## Formatting, vet, perdurevet, fix, staticcheck, tidy, house rules, generated files; no other tests
	@out=$$($(TOOL) gofumpt -l .); [ -z "$$out" ] || { printf 'not formatted, run gofumpt -w on them (CONTRIBUTING.md):\n%s\n' "$$out" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) fix -diff ./...
	$(TOOL) staticcheck ./...
	$(GO) mod tidy -diff
	$(GO) -C tools vet ./...
	$(GO) -C tools tool staticcheck ./...
	$(GO) -C tools mod tidy -diff
	$(GO) -C tools/powercut vet ./...
	$(GO) -C tools/powercut fix -diff ./...
	$(GO) -C tools/powercut tool -modfile=../go.mod staticcheck ./...
	$(GO) -C tools/powercut mod tidy -diff
	$(GO) -C tools/chaos vet ./...
	$(GO) -C tools/chaos fix -diff ./...
	$(GO) -C tools/chaos tool -modfile=../go.mod staticcheck ./...
	$(GO) -C tools/chaos mod tidy -diff
	$(GO) -C tools/counterparts vet ./...
	$(GO) -C tools/counterparts fix -diff ./...
	$(GO) -C tools/counterparts tool -modfile=../go.mod staticcheck ./...
	$(GO) -C tools/counterparts mod tidy -diff
	$(GO) -C cmd/perdurevet vet ./...
	$(GO) -C cmd/perdurevet fix -diff ./...
	$(GO) -C cmd/perdurevet tool -modfile=../../tools/go.mod staticcheck ./...
	$(GO) -C cmd/perdurevet mod tidy -diff
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && set -x && \
	$(GO) -C cmd/perdurevet build -o "$$tmp/perdurevet" . && \
	$(GO) vet -vettool="$$tmp/perdurevet" ./...
	$(GO) test -count=1 -run '^Test(Layers|Foreign|Deps|Surface|House)' .
	$(GO) -C tools run ./mutants -check ..

generate: ## Write the generated files anew: needs Go only
	$(GO) generate ./schemas

generated: ## Fail if a generated file is not what `make generate` writes
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && \
	$(GO) -C tools run ./protogen ../schemas/proto perdure.proto "$$tmp" && \
	$(GO) -C tools run ./protodoc ../schemas/proto perdure.proto "$$tmp/messages.md" && \
	{ diff -u schemas/perdure.pb.go "$$tmp/perdure.pb.go" && diff -u docs/reference/messages.md "$$tmp/messages.md" || \
	{ echo "generated files are not current: run 'make generate' and commit what it writes" >&2; exit 1; }; }

bench: ## Measure; S=S1,S2 picks scenarios, BENCH_FLAGS=-tiny only shows that they run
	@$(GO) run ./cmd/bench -s "$(S)" $(BENCH_FLAGS)

bench-compare: ## Measure the commit BASE and this tree in turns, and fail if this one is worse by more than a third; S and BENCH_FLAGS as above
	@$(GO) run ./cmd/bench compare -base "$(BASE)" -s "$(S)" $(BENCH_FLAGS)

chaos: ## Do harm to three nodes and three NATS servers under load for D (10m), by the draw SEED, and judge what clients saw; first the long forms of the tests named TestChaos, crashes at every single write, and broken builds that must be caught: half an hour and D
	@if $(HAS_RACE); then race=-race; export CGO_ENABLED=1; else race=; export CGO_ENABLED=0; fi; ok=0; \
	PERDURE_CHAOS=1 $(GO) test $$race -count=1 -timeout 60m -run '^Test(Chaos|CrashSweep|BackupSweep|TenThousand)' ./... || ok=1; \
	$(GO) -C tools/chaos run . -seed "$(SEED)" -d "$(D)" -broken $$race || ok=1; exit $$ok

model: ## Look at every state of a model of the protocol, and at what comes of leaving a rule out: minutes; ONLY=crash picks some
	$(GO) run ./docs/protocol/model -only "$(ONLY)"

mutants: ## Break the code in one way after another and see which test notices: a quarter of an hour; ONLY=fence picks some
	$(GO) -C tools run ./mutants -only "$(ONLY)" ..

powercut: ## Cut the power of a node's disk at fifty moments and see that nothing acknowledged is lost: needs FUSE and root; PERDURE_POWERCUT_SEED repeats a draw
	PERDURE_POWERCUT=$${PERDURE_POWERCUT:-50} $(GO) -C tools/powercut test -count=1 -timeout 60m -v -run '^TestPowerCut' .

wire: ## Play the sessions of docs/reference/wire.md with the nats CLI, built into bin/ if PERDURE_NATS_CLI does not name one
	@cli="$(PERDURE_NATS_CLI)"; \
	if [ -z "$$cli" ]; then GOBIN="$(CURDIR)/bin" $(GO) install github.com/nats-io/natscli/nats@$(NATS_CLI_VERSION) && cli="$(CURDIR)/bin/nats"; fi; \
	PERDURE_NATS_CLI="$$cli" $(GO) test -count=1 -v -run '^TestWire_SessionsOfThePage$$' .

counterparts: ## Hold MCP and the scripted model against npm's MCP servers, the MCP conformance suite and official clients of model APIs: a minute; needs npm; COUNTERPARTS_FLAGS=-require fails without
	@$(GO) -C tools/counterparts run . $(COUNTERPARTS_FLAGS)

clean: ## Remove what the targets above leave behind, data directories included
	rm -rf bin data perdure-data
	find . -name '*.test' -type f -delete
	find . -name '*.prof' -type f -delete
