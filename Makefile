# Targets that are meant to be called describe themselves: make help.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PKG     := github.com/projectvrouter/vrouter
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS := -s -w -X $(PKG)/internal/version.Version=$(VERSION) -X $(PKG)/internal/version.Commit=$(COMMIT)
# Without grpcnotrace grpc pulls in html/template, a fifth of vrouterctl.
TAGS    := -tags grpcnotrace
BUILD    = CGO_ENABLED=0 go build -trimpath $(TAGS) -ldflags '$(LDFLAGS)'
# Tests of whole daemons run the programs that build has made.
TEST     = VROUTER_BIN=$(CURDIR)/bin go test $(TAGS)
TOOL     = go tool -modfile=$(CURDIR)/internal/tools/go.mod
ARCHES  := amd64 arm64 ppc64le s390x

# Debian packages: what tests and demo start beside vrouter, and what they look
# at the kernel with.
PACKAGES := bgpdump iproute2 iputils-ping bird2 frr gobgpd etcd-server etcd-client iptables nftables ipset conntrack tshark
PROGRAMS := bgpdump ip ping bird /usr/lib/frr/bgpd gobgpd etcd etcdctl iptables nft ipset conntrack tshark

# The greatest size of vrouterctl, in bytes: it is copied to many places.
CTL_LIMIT := 15000000

.PHONY: help build demo test race lint generate bench bench-ipam bench-policy bench-reflector bench-reflector-full fuzz histories cross size clean deps

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/vrouterd and bin/vrouterctl, static and without cgo
	$(BUILD) -o bin/ ./cmd/...

demo: deps build ## run a small fabric on this host: two racks, a spine, pings, a daemon killed
	bin/vrouter-demo

# What failed comes last, whole and then by name: of a long log only the end is read.
test: deps build ## run all tests; as root they need nothing else, others are told what is left out
	@if [ "$$(id -u)" != 0 ]; then echo "not root: what needs network namespaces is skipped, and listed at the end"; fi
	@log=$$(mktemp); trap 'rm -f $$log' EXIT; \
	VROUTER_BIN=$(CURDIR)/bin $(TOOL) gotestsum --format pkgname --format-hide-empty-pkg -- \
		$(TAGS) -count=1 -timeout 40m ./... | tee $$log && status=0 || status=$$?; \
	grep '^=== FAIL' $$log || true; \
	exit $$status

race: ## run the tests of packages that start no daemons under the race detector
	go test -race -count=1 -timeout 20m $$(go list ./... | grep -vE '/(integration|internal/lab)(/|$$)')

lint: ## check style, import directions, the API's compatibility rules and generated code
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -d $$(git ls-files '*.go'); exit 1; }
	$(TOOL) buf lint
	$(TOOL) buf format --diff --exit-code
	$(TOOL) golangci-lint run ./...

generate: ## regenerate the Go code of the API
	@mkdir -p bin/tools
	cd internal/tools && go build -o $(CURDIR)/bin/tools/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	PATH=$(CURDIR)/bin/tools:$$PATH $(TOOL) buf generate

bench: ROUNDS ?= 5
bench: deps build bench-ipam bench-policy ## measure beside ip -batch, BIRD and FRR in the same run
	$(TEST) -run '^$$' -bench . -benchtime $(ROUNDS)x -timeout 60m ./fib/rtnetlink
	$(TEST) -run '^$$' -bench 'Install|Learn' -benchtime $(ROUNDS)x -timeout 60m ./integration
	$(TEST) -run '^$$' -bench Register -benchtime 500x -timeout 60m ./integration

bench-ipam: ROUNDS ?= 5
bench-ipam: deps ## measure how addresses are given out beside bare transactions of etcd
	$(TEST) -run '^$$' -bench Addresses -benchtime $(ROUNDS)x -timeout 60m ./internal/server
	$(TEST) -run '^$$' -bench 'Collect$$' -benchtime $(ROUNDS)x -timeout 60m ./ipam

# Sizes of more policies than these are left out, and the resolver has as many.
ENDPOINTS ?= 250000
POLICIES  ?= 10000
bench-policy: ROUNDS ?= 5
bench-policy: export VROUTER_BENCH_ENDPOINTS = $(ENDPOINTS)
bench-policy: export VROUTER_BENCH_POLICIES = $(POLICIES)
bench-policy: deps ## measure what policy costs: a change, a start, a packet, and the resolver alone
	$(TEST) -run '^$$' -bench Resolver -benchtime $(ROUNDS)x -timeout 60m ./policy
	$(TEST) -run '^$$' -bench . -benchtime $(ROUNDS)x -timeout 120m -v ./integration/policybench

# SCENARIOS and TARGETS are comma-separated; empty: all. TIMEOUT is a target's
# for each scenario: one that does not finish is printed as such.
CLIENTS ?= 100
ROUTES  ?= 1000
TIMEOUT ?= 5m
bench-reflector: ROUNDS ?= 3
bench-reflector: deps build ## measure reflection beside BIRD, FRR, GoBGP, OpenBGPD and a floor that copies bytes
	go build -o bin/reflectorbench ./integration/reflectorbench/main
	VROUTER_BIN=$(CURDIR)/bin bin/reflectorbench -clients $(CLIENTS) -routes $(ROUTES) -rounds $(ROUNDS) -timeout $(TIMEOUT) \
	  $(if $(SCENARIOS),-scenarios $(SCENARIOS)) $(if $(TARGETS),-targets $(TARGETS))

bench-reflector-full: ## the same at 100 x 1,000, 100 x 10,000 and 1,000 x 100; takes hours
	$(MAKE) bench-reflector CLIENTS=100 ROUTES=1000
	$(MAKE) bench-reflector CLIENTS=100 ROUTES=10000
	$(MAKE) bench-reflector CLIENTS=1000 ROUTES=100

FUZZTIME ?= 30s
fuzz: ## fuzz every parser for FUZZTIME each
	@for pkg in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg 2>/dev/null | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

SEEDS ?= 4000
histories: ## play SEEDS random histories of addresses beside a plain model, with conflicts and crashes
	$(TEST) -run '^TestModel$$' -timeout 60m ./ipam -seeds $(SEEDS)
	$(TEST) -run '^TestModel$$' -timeout 60m ./internal/server -seeds $(SEEDS)

cross: ## build for every supported processor
	@for arch in $(ARCHES); do \
	  echo "linux/$$arch"; GOARCH=$$arch $(BUILD) -o dist/linux-$$arch/ ./cmd/vrouterd ./cmd/vrouterctl; \
	done

size: build ## check that vrouterctl stays small and that the programs are static
	@size=$$(stat -c %s bin/vrouterctl); echo "vrouterctl: $$size bytes of $(CTL_LIMIT)"; test $$size -lt $(CTL_LIMIT)
	@for p in vrouterd vrouterctl; do ! readelf -l bin/$$p | grep -q INTERP || { echo "$$p is not static"; exit 1; }; done

deps: ## install the Debian packages that tests and demo need, where this is root
	@missing=""; for p in $(PROGRAMS); do PATH=$$PATH:/usr/sbin:/sbin command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "missing programs:$$missing (Debian packages: $(PACKAGES))"; exit 0; fi; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null

clean: ## remove what was built
	rm -rf bin dist coverage.out
