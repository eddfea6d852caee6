# re6st: a resilient IPv6 mesh. `make help` lists the targets.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
ARCHES   := amd64 arm64 arm riscv64
LDFLAGS  := -s -w
# The binary of an arm64 edge box must fit its flash beside a system. Growth is to be seen:
# 24 until IPv4, batches and the tunnels of the kernel came, 26 until QUIC did (1.5 of them).
SIZE_MAX_MB := 28
FUZZTIME ?= 10s
FUZZ     ?= ./...
TESTFLAGS ?=
# of make chaos and make panics
SEEDS       ?= 1 2 3
DURATION    ?= 10m
CHAOS_NODES ?= 10
PANICS      ?= 1000
# netlink and TUN need a kernel, the lab needs these two from Debian
TOOLS    := ip:iproute2 nft:nftables
# packages with tests that run in a whole Debian kernel
KERNEL   := ./hw/ktunnel ./cmd/re6st

.PHONY: help build demo lab chaos panics page test test-kernel race test386 lint fuzz bench cross size tools clean rivals unserved bench-flood bench-routing bench-fabric

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

build: ## bin/re6st for this machine
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/re6st ./cmd/re6st

tools: ## install from Debian what the demo and the tests need, or say what is missing
	@missing=; for t in $(TOOLS); do command -v $${t%%:*} >/dev/null || missing="$$missing $${t#*:}"; done; \
	[ -z "$$missing" ] || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing$$missing"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
		else echo "missing Debian packages:$$missing; install them with: apt-get install$$missing" >&2; exit 1; fi; }

demo: build tools ## 8 nodes in namespaces: converge, cut a link under a ping, heal
	bin/re6st lab demo

lab: build tools ## measure the mesh in the lab: faults, restarts, memory; fails where it is too slow
	.ci/lab

chaos: build tools ## hurt a mesh at random for DURATION, once for each of SEEDS; fails on a leak or a dead mesh
	@failed=; for seed in $(SEEDS); do \
		bin/re6st lab chaos --nodes $(CHAOS_NODES) --seed $$seed --duration $(DURATION) || failed="$$failed $$seed"; done; \
	[ -z "$$failed" ] || { echo "chaos failed with seed$$failed" >&2; exit 1; }

panics: build tools ## have the actors of one node panic PANICS times, under traffic
	bin/re6st lab panics --count $(PANICS)

page: build tools ## the live page in Chromium: tests it, and leaves bin/page/*.png
	RE6ST_PAGE=$(CURDIR)/bin/page $(GO) test -count 1 -v -run '^TestThePage' ./cmd/re6st

test: tools ## all tests; those that need root or a peer say so when they skip
	$(GO) vet ./...
	$(GO) test $(TESTFLAGS) ./...

test-kernel: TOOLS += qemu-system-x86_64:qemu-system-x86 depmod:kmod
test-kernel: tools ## tests that need a whole Debian kernel, in an emulated machine; the first run downloads it
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/vm ./firmware/vm
	$(GO) vet -tags kernel ./firmware/vm $(KERNEL)
	$(GO) test -count 1 -tags kernel -run '^TestKernel' $(TESTFLAGS) ./firmware/vm
	$(GO) test -count 1 -p 1 -tags kernel -run '^TestKernel' -exec $(CURDIR)/bin/vm $(TESTFLAGS) $(KERNEL)

race: ## all tests under the race detector (needs gcc)
	CGO_ENABLED=1 $(GO) test -race $(TESTFLAGS) ./...

test386: ## vet and all tests as 32-bit code
	GOARCH=386 CGO_ENABLED=0 $(GO) vet ./...
	GOARCH=386 CGO_ENABLED=0 $(GO) test $(TESTFLAGS) ./...

lint: ## gofmt, modules, golangci-lint
	@out=$$(git ls-files '*.go' | xargs -r gofmt -l); [ -z "$$out" ] || { echo "not gofmt-clean: $$out" >&2; exit 1; }
	$(GO) mod tidy -diff
	$(GO) mod verify
	GOBIN=$(CURDIR)/bin $(GO) -C .ci/tools install github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run ./...

fuzz: ## every fuzz target, or those of the packages FUZZ, for FUZZTIME (10s)
	.ci/fuzz $(FUZZTIME) $(FUZZ)

bench-flood: build tools ## what is left of traffic under floods of handshakes, joins and routes; fails below 95 %
	bin/re6st lab flood

bench-routing: build tools ## re6st, babeld and BIRD beside each other, 10 and 30 nodes, a quarter of an hour: starts, healing, memory, CPU, bytes
	bin/re6st bench routing

rivals: ## bin/rivals: tunnels of others at pinned versions, to measure beside re6st
	GOBIN=$(CURDIR)/bin/rivals CGO_ENABLED=0 $(GO) -C .ci/rivals install tool

bench-fabric: TOOLS += iperf3:iperf3 openvpn:openvpn tincd:tinc
bench-fabric: build unserved tools rivals ## re6st by each carrier and six tunnels of others beside each other and the kernel, 1 and 3 links, a quarter of an hour: rate, CPU, memory
	bin/re6st bench fabric

unserved: # what will be installed is to run in benchmarks, never as a service of this machine
	@[ "$$(id -u)" != 0 ] || for s in openvpn:openvpn tincd:tinc; do command -v $${s%%:*} >/dev/null || { \
		mkdir -p /etc/systemd/system; ln -sfn /dev/null /etc/systemd/system/$${s#*:}.service; }; done

bench: ## benchmarks with allocations
	$(GO) test -run '^$$' -bench . -benchmem ./...

cross: ## bin/linux-ARCH/re6st for every target, without cgo
	@for arch in $(ARCHES); do \
		echo "linux/$$arch"; \
		GOOS=linux GOARCH=$$arch GOARM=7 CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' \
			-o bin/linux-$$arch/re6st ./cmd/re6st; done

size: ## stripped sizes; fails above 28 MB for arm64
	@for arch in $(ARCHES); do f=bin/linux-$$arch/re6st; \
		[ -f $$f ] || { echo "no $$f: run make cross" >&2; exit 1; }; \
		printf 'linux/%-8s %6.2f MB\n' $$arch $$(stat -c %s $$f | awk '{ print $$1 / 1e6 }'); done
	@[ $$(stat -c %s bin/linux-arm64/re6st) -le $$(($(SIZE_MAX_MB) * 1000000)) ] || \
		{ echo "linux/arm64 is above $(SIZE_MAX_MB) MB" >&2; exit 1; }

clean: ## remove what was built
	rm -rf bin
