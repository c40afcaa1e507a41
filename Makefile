# SPDX-License-Identifier: Apache-2.0
# The front door; CMake builds, .ci/test runs the tests. `make` alone lists what there is.
.DEFAULT_GOAL := help
.PHONY: help packages build release demo demo-shell demo-clean cluster-build cluster-up cluster-down cluster-shell test bench
.PHONY: bench-control format tidy clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

packages: ## install the Debian packages that are missing (root)
	@.ci/install_packages.sh

build: packages ## debug build: everything
	@cmake --preset debug >/dev/null && ninja --quiet -C build/debug

release: packages ## release build: the binaries
	@cmake --preset release >/dev/null && ninja --quiet -C build/release sluice-agent sluice-operator sluice-cni sluice

demo: release ## two nodes on this machine, pods, traffic, flows (root; KEEP=1 leaves it running)
	@SLUICE_BIN=$(CURDIR)/build/release/bin KEEP=$(KEEP) tests/demo/run

demo-shell: ## a shell on a node of a kept demo: make demo-shell NODE=n1
	@SLUICE_BIN=$(CURDIR)/build/release/bin tests/demo/run shell $(NODE)

demo-clean: ## remove a kept demo
	@tests/demo/run clean

cluster-build: packages ## Kubernetes and the other Go programs of the test cluster, into a cache (10 minutes once)
	@tests/cluster/build.py

cluster-up: cluster-build ## a real Kubernetes cluster on this machine (root; ARGS="--nodes 3 --network sluice")
	@SLUICE_BIN=$(SLUICE_BIN) tests/cluster/manage.py up $(ARGS)

cluster-shell: ## kubectl and helm of that cluster, or a shell in one of its nodes: make cluster-shell NODE=n1
	@tests/cluster/manage.py shell $(NODE)

cluster-down: ## remove it, and whatever interrupted runs left
	@tests/cluster/manage.py down

test: packages ## every kind of test that this machine can run; logs in build/test-logs/
	@.ci/test

test-%: packages ## one kind: format build headers unit prog layout verifier tsan fuzz kube netns cluster vm tidy
	@.ci/test $*

bench: release ## measure against other data planes; prints a table, writes JSON (root)
	@ninja --quiet -C build/release netload progbench objectbench
	@bench/run

bench-control: release ## one operator, thousands of agents: sync, memory, latency; prints a table, writes JSON
	@ninja --quiet -C build/release controlbench
	@bench/control/run

format: ## format our C++ and eBPF sources in place
	@git ls-files '*.cc' '*.h' '*.bpf.c' | grep -v '^bpf/vmlinux/' | xargs clang-format-19 -i

tidy: packages ## clang-tidy over our C++ sources
	@.ci/test tidy

clean: ## remove all that was built
	@rm -rf build
