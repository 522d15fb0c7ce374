# The index of what can be done here: one line each. `make help` prints it.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
STATICCHECK := go tool -modfile=tools/go.mod staticcheck
FUZZTIME    ?= 10s
VERSION     ?= 0.1.0~dev
.DEFAULT_GOAL := help
.PHONY: help quickstart check check-lint test test-heavy bench fuzz build deb lint fmt deps

help: ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: deps build ## see it work: back up, increment, restore and compare a private MariaDB
	bin/coffer quickstart

check: check-lint ## before a commit: format, vet, lint, modules, short tests (2 min)
	go test -short -timeout 5m ./...

check-lint: lint ## the part of check that runs no tests
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { printf 'not formatted, run make fmt:\n%s\n' "$$unformatted"; exit 1; }
	go mod verify

test: deps ## every test with the real tools and the race detector (14 min)
	go vet ./...
	@out=$$(mktemp); trap 'rm -f "$$out"' EXIT; \
	CI=true CGO_ENABLED=1 go test -race -timeout 20m ./... 2>&1 | tee "$$out" || { \
		printf '\nWhat failed:\n'; grep -E -A3 '^ *--- FAIL|^(FAIL|panic:).*[a-z]' "$$out" | cut -c1-300 | tail -n 60; exit 1; }

test-heavy: deps ## the long ones: kills, chaos, seeded histories, a real Trove (3 h)
	COFFER_HEAVY=1 CI=true CGO_ENABLED=1 go test -race -timeout 60m -p 1 -run Heavy ./...
	COFFER_HEAVY=1 CI=true go test -run Heavy -timeout 60m ./internal/model
	COFFER_HEAVY=1 CI=true go test -run HeavySixtyGiB -timeout 60m ./internal/store/swift

bench: deps ## the figures of docs/BENCHMARKS.md, as ratios in one run (15 min)
	go test -run '^$$' -bench . -benchtime 1x -timeout 40m ./internal/bench/

fuzz: ## every fuzz target for FUZZTIME (10s)
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

build: ## one static binary, bin/coffer
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/coffer ./cmd/coffer

deb: ## a Debian package, bin/coffer_VERSION_ARCH.deb
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.release=$(VERSION)" -o bin/coffer ./cmd/coffer
	packaging/deb bin/coffer $(VERSION) bin

lint: ## go vet and staticcheck
	go vet ./...
	$(STATICCHECK) ./...

fmt: ## format every Go file
	gofmt -w .

deps: ## install what the tests drive (Debian, as root, when missing)
	@.ci/deps
