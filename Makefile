# Every target but help and clean first runs setup, which takes no time when nothing is missing.
SHELL := /bin/sh
NODE := ./node_modules/.bin/node
.DEFAULT_GOAL := help

.PHONY: help setup demo up down test e2e check bpf layout bench image fuzz fuzz-faults semantics networks networks-vm kind-e2e clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: system tools (root on Debian or Ubuntu), npm packages, Node
	@sh scripts/setup.sh

demo: setup ## Start a cluster, apply an application (APP=file.yaml), show its Services answer, stop
	@$(NODE) scripts/demo.ts $(APP)

up: setup ## Start the standalone cluster (NODES=3 ZONES=zone-a,zone-a,zone-b FAMILIES=v6,v4); kubeconfig in .maglane/kubeconfig
	@$(NODE) agent/main.ts standalone up $(addprefix --nodes ,$(NODES)) $(addprefix --families ,$(FAMILIES)) $(addprefix --lb-pool ,$(LB_POOL)) $(addprefix --zones ,$(ZONES))

down: setup ## Stop the standalone cluster and leave nothing behind
	@$(NODE) agent/main.ts standalone down

test: setup ## Run all tests, tier by tier (TIER="unit bpf" for some)
	@$(NODE) scripts/test.ts $(TIER)

e2e: setup ## Run the end-to-end scenarios against standalone, or any KUBECONFIG=file
	@$(NODE) scripts/e2e.ts

check: setup ## The gate: types, lint, format, generated files, headers, imports
	@$(NODE) scripts/check.ts

bpf: setup ## Compile the BPF programs into .cache/bpf
	@$(NODE) scripts/bpf.ts

layout: setup ## Generate agent/abi/layout.ts from bpf/abi.h
	@$(NODE) scripts/layout.ts

bench: setup ## Measure ns per packet, latency and throughput
	@$(NODE) scripts/bench.ts

fuzz: setup ## Compare the packet programs with their model by random histories (PACKETS=10000000 SEED=1)
	@$(NODE) scripts/fuzz.ts "$(PACKETS)" "$(SEED)"

fuzz-faults: setup ## Put faults back into the packet programs one by one and see the fuzzing find each
	@$(NODE) scripts/faults.ts

semantics: setup ## Run the tests and write docs/semantics.md (TIER="unit bpf" for some, RUN=no for the titles only)
	@$(NODE) scripts/semantics.ts $(if $(filter no,$(RUN)),--titles,$(TIER))

networks: setup ## Build networks in namespaces, check them all, write docs/networks.md (TOPOLOGY="flat vxlan" for some, RUN=no for the rows only)
	@$(NODE) scripts/networks.ts $(if $(filter no,$(RUN)),--page) $(TOPOLOGY)

image: setup ## Write the image of the agent, its bill of materials and its provenance into dist, without Docker
	@$(NODE) scripts/image.ts

kind-e2e: setup ## Run the end-to-end scenarios in a kind cluster without kube-proxy (needs docker and kind)
	@$(NODE) scripts/kind.ts

networks-vm: ## Run tiers of tests on stock kernels in QEMU (KERNELS=5.10,newest CLANGS=clang-14 TIERS=load,networks TOPOLOGY=geneve,bond ACCEL=tcg PAGE=yes)
	@sh scripts/setup.sh vm
	@$(NODE) scripts/networks-vm.ts $(if $(KERNELS),--kernels "$(KERNELS)") $(if $(CLANGS),--clangs "$(CLANGS)") $(if $(TIERS),--tiers "$(TIERS)") $(if $(TOPOLOGY),--topologies "$(TOPOLOGY)") $(if $(ACCEL),--accel "$(ACCEL)") $(if $(PAGE),--page)

clean: ## Remove what was built and downloaded here
	rm -rf .cache dist coverage node_modules
