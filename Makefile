# make demo: the laboratory's demonstration.  make demo-kubernetes: on a real cluster.
# make test: every check that CI runs.
# Both install what is missing (Debian 12, as root) and say what they do.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO_FLAGS := --locked
# Always chosen together: each choice builds the shared dependencies with features of its own.
SYSTEM := -p egret -p egret-lab -p egret-kubernetes
# The demonstration does without EC2's SDK, which takes minutes to compile; tests have it.
TESTED := $(SYSTEM) --features egret/aws
KUBERNETES_TESTS := $(wildcard tests/kubernetes/tests/*.rs) \
	$(patsubst %/main.rs,%,$(wildcard tests/kubernetes/tests/*/main.rs))
export EGRET ?= $(CURDIR)/target/debug/egret

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

.PHONY: setup
setup: ## install what building and testing need (apt, cargo)
	@tests/setup.sh

.PHONY: build
build: setup ## build the binary and the laboratory
	@tests/step.sh "build" cargo build $(CARGO_FLAGS) $(SYSTEM)

.PHONY: build-next
build-next: setup
	@tests/step.sh "build of the next pin layout, to upgrade to" \
		cargo build $(CARGO_FLAGS) $(TESTED) --bin egret --features egret/layout-next
	@cp target/debug/egret target/debug/egret-next
	@tests/step.sh "build" cargo build $(CARGO_FLAGS) $(TESTED)

.PHONY: demo
demo: build ## claim an address, power off its gateways, show what the outside saw
	@target/debug/egret-lab demo

.PHONY: figures
figures: build ## measure failovers, planned moves, load at rest
	@target/debug/egret-lab figures

.PHONY: test
test: setup check terraform aws-double unit lab kubernetes ## everything that CI runs

.PHONY: check
check: ## formatting, lints, licences
	@tests/setup.sh check
	@tests/step.sh "rustfmt" cargo fmt --all --check
	@tests/step.sh "clippy" cargo clippy $(CARGO_FLAGS) --workspace --features egret/aws --all-targets -- -D warnings
	@tests/step.sh "licences, bans, sources" cargo deny --locked check licenses bans sources

.PHONY: unit
unit: setup-kubernetes setup-aws ## tests of values, of the kernel in namespaces, of the lease protocol, on an API server, on EC2's double
	@cargo test $(CARGO_FLAGS) --workspace --exclude egret-lab --exclude egret-kubernetes --features egret/aws

.PHONY: setup-aws
setup-aws: ## install the EC2 that the AWS provider is tested against
	@tests/setup.sh aws

.PHONY: aws-double
aws-double: setup-aws ## tests of that EC2 itself
	@target/aws/venv/bin/python -m pytest -q tests/aws/double

.PHONY: terraform
terraform: ## the Terraform module for AWS, offline: names, policy, documentation
	@tests/setup.sh terraform
	@PYTHONPATH=tests/terraform target/terraform/venv/bin/python -m egret_terraform
	@target/terraform/venv/bin/python -m pytest -q -rs -p no:cacheprovider tests/terraform

.PHONY: lab
lab: build-next setup-aws ## scenarios in the laboratory
	@cargo test $(CARGO_FLAGS) $(TESTED) --lib --test scenarios

.PHONY: setup-kubernetes
setup-kubernetes: ## build what a real cluster is made of (target/kubernetes/bin)
	@tests/setup.sh kubernetes

.PHONY: setup-oldest
setup-oldest: ## build the oldest API server that is maintained (target/kubernetes/oldest)
	@tests/setup.sh oldest

.PHONY: cluster-image
cluster-image: setup-kubernetes build-next ## images for the tests on real Kubernetes: this one, and the next pin layout
	@EGRET_BINARY=target/debug/egret-next EGRET_TAG=next tests/image.sh
	@EGRET_BINARY=target/debug/egret tests/image.sh

.PHONY: kubernetes
kubernetes: cluster-image setup-aws ## the chart, the kinds and the scenarios on real Kubernetes
	@tests/chart.sh files
	@cargo test $(CARGO_FLAGS) $(TESTED) --no-fail-fast \
		$(foreach test,$(KUBERNETES_TESTS),--test $(basename $(notdir $(test))))

.PHONY: demo-kubernetes
demo-kubernetes: cluster-image ## the demonstration on a real Kubernetes cluster, with the chart
	@target/debug/egret-kubernetes demo

.PHONY: soak
soak: build cluster-image setup-oldest ## the long rows, failovers by the dozen, the oldest API server, the long model check
	@target/debug/egret-lab soak
	@EGRET_SOAK=1 cargo test $(CARGO_FLAGS) $(TESTED) --test cluster -- s11_ s24_first_packet_of
	@cargo test $(CARGO_FLAGS) $(TESTED) --test api_server --test chart --test crds -- --ignored
	@target/debug/egret-kubernetes figures
	@cargo run $(CARGO_FLAGS) --release -p egret-model -- check --long

.PHONY: advisories
advisories: ## known vulnerabilities of dependencies (needs the advisory database)
	@tests/setup.sh check
	@cargo deny --locked check advisories

.PHONY: clean-lab
clean-lab: ## remove what a killed laboratory or cluster left behind
	@if [ -x target/debug/egret-lab ]; then target/debug/egret-lab cleanup; fi
	@if [ -x target/debug/egret-kubernetes ]; then target/debug/egret-kubernetes cleanup; fi

.PHONY: image
image: ## build the container image (target/image/egret.tar)
	@tests/image.sh

.PHONY: chart
chart: ## the chart and the kustomize base, against a real API server
	@tests/chart.sh
