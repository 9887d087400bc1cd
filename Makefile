# make demo: the laboratory's demonstration.  make demo-kubernetes: on a real cluster.
# make test: every check. CI runs make demo and make test in a pristine Debian (tests/fresh.sh).
# Both install what is missing (Debian 12, as root) and say what they do.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO_FLAGS := --locked
.NOTPARALLEL:
# sudo's PATH lacks what rustup and Go's archive install.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin
ifdef SUDO_USER
# Under `sudo -E make` what root downloads and builds stays out of that person's home.
ifneq ($(shell stat -c %u "$(HOME)"),0)
export CARGO_HOME := $(CURDIR)/target/sudo/cargo
export GOPATH := $(CURDIR)/target/sudo/go
export GOCACHE := $(CURDIR)/target/sudo/go-build
export npm_config_cache := $(CURDIR)/target/sudo/npm
export PIP_CACHE_DIR := $(CURDIR)/target/sudo/pip
endif
endif
# The clouds' SDKs take minutes to compile, so neither demonstration has them.
CLOUDS := egret/aws,egret/gcp
# Whatever the suite builds is chosen from these packages: another choice gives what they share other features, and
# cargo compiles it once more. The model checker breaks the rules of the leases (egret-core/fault-injection), which no
# binary can.
TESTED := --workspace --exclude egret-model --features $(CLOUDS)
MODEL := --workspace --features $(CLOUDS) --test checker --test short_searches --test simulation
# With a test among the targets cargo counts in what only tests depend on, as where it builds them all.
BINARIES := --test spelling
# What the laboratory's demonstration runs: no Kubernetes.
LABORATORY := --no-default-features --features egret/node,egret/controller,egret/plugin
# Builds that have less than the default, each of which must compile without warnings.
FEATURES := node controller plugin kubernetes layout-next node,controller,plugin node,kubernetes \
	controller,kubernetes plugin,kubernetes
export EGRET ?= $(CURDIR)/target/debug/egret

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

.PHONY: setup
setup: ## install what building and testing need (apt, cargo)
	@tests/setup.sh

.PHONY: build
build: setup ## build the binary and the laboratory
	@tests/step.sh "build" cargo build $(CARGO_FLAGS) -p egret -p egret-lab -p egret-kubernetes

.PHONY: build-next
build-next: setup
	@tests/step.sh "build of the next pin layout, to upgrade to" \
		cargo build $(CARGO_FLAGS) $(TESTED),egret/layout-next --bin egret $(BINARIES)
	@cp target/debug/egret target/debug/egret-next
	@tests/step.sh "build" cargo build $(CARGO_FLAGS) $(TESTED) --bins $(BINARIES)

# A demonstration's binary has fewer features than the tests'. It is moved away, so that nothing takes
# it for theirs: cargo puts the one that it is asked for back into target/debug, built anew or not.
.PHONY: build-demo
build-demo: setup
	@tests/step.sh "build" cargo build $(CARGO_FLAGS) -p egret -p egret-lab $(LABORATORY)
	@rm -rf target/demo/laboratory && mkdir -p target/demo/laboratory
	@mv target/debug/egret target/demo/laboratory/egret

.PHONY: demo
demo: export EGRET := $(CURDIR)/target/demo/laboratory/egret
demo: build-demo ## claim an address, power off its gateways, show what the outside saw
	@target/debug/egret-lab demo

.PHONY: figures
figures: export EGRET := $(CURDIR)/target/demo/laboratory/egret
figures: build-demo ## measure failovers, planned moves, load at rest
	@target/debug/egret-lab figures

# The last step does without the optimization of egret-core, which would be most of its time.
.PHONY: features
features: format ## every choice of the binary's features compiles, and says what it is without
	@for features in $(FEATURES); do \
		tests/step.sh "features $$features" cargo clippy $(CARGO_FLAGS) -p egret --all-targets \
			--no-default-features --features "$$features" -- -D warnings; \
	done
	@tests/step.sh "types without Kubernetes" cargo clippy $(CARGO_FLAGS) -p egret-api -p egret-state --all-targets \
		--no-default-features -- -D warnings
	@tests/step.sh "what a build without them says" cargo test $(CARGO_FLAGS) -p egret --bins \
		--no-default-features --features plugin --config profile.dev.package.egret-core.opt-level=0

.PHONY: test
test: ## everything that CI runs, with a table of what each part took
	@tests/prerequisites.sh test
	@tests/parts.sh setup format licences terraform aws-double gcp-double unit features lab kubernetes

.PHONY: fresh
fresh: ## make demo in a pristine Debian 12, as a newcomer (tests/fresh.sh COMMAND for another)
	@tests/fresh.sh make demo

.PHONY: check
check: format lint licences ## formatting, lints, licences

.PHONY: format
format:
	@tests/setup.sh check
	@tests/step.sh "rustfmt" cargo fmt --all --check

# make test has no need of it: its builds lint what they compile.
.PHONY: lint
lint:
	@tests/setup.sh check
	@tests/step.sh "clippy" cargo clippy $(CARGO_FLAGS) --workspace --features $(CLOUDS) --all-targets -- -D warnings

.PHONY: licences
licences:
	@tests/setup.sh licences
	@tests/step.sh "licences, bans, sources" cargo deny --locked check licenses bans sources

# The suite's builds lint what they compile, so that lints cost no build of their own.
unit features lab kubernetes conformance vm soak: export RUSTC_WORKSPACE_WRAPPER := $(CURDIR)/tests/lint.sh

.PHONY: unit
unit: setup-kubernetes setup-aws setup-gcp ## tests of values, of the kernel in namespaces, of the lease protocol, on an API server (the chart, the kinds), on the clouds' doubles
	@tests/setup.sh unit
	@tests/chart.sh files
	@tests/cargo_test.py $(CARGO_FLAGS) $(TESTED) --and $(CARGO_FLAGS) $(MODEL)

.PHONY: setup-aws
setup-aws: ## install the EC2 that the AWS provider is tested against
	@tests/setup.sh aws

.PHONY: aws-double
aws-double: setup-aws ## tests of that EC2 itself, and what an account would be asked
	@target/aws/venv/bin/python -m pytest -q tests/aws/double
	@target/aws/venv/bin/python -m pytest -q tests/aws/conformance

.PHONY: setup-gcp
setup-gcp: ## install the Compute Engine that the GCP provider is tested against
	@tests/setup.sh gcp

.PHONY: gcp-double
gcp-double: setup-gcp ## tests of that Compute Engine itself
	@target/gcp/venv/bin/python -m pytest -q tests/gcp/double

.PHONY: terraform
terraform: ## the Terraform modules, offline: names, rights, documentation; validates them and runs their tests
	@tests/setup.sh terraform
	@PYTHONPATH=tests/terraform target/terraform/venv/bin/python -m egret_terraform
	@target/terraform/venv/bin/python -m pytest -q -rs -p no:cacheprovider tests/terraform

.PHONY: lab
lab: build-next setup-aws setup-gcp ## scenarios in the laboratory
	@cargo test $(CARGO_FLAGS) $(TESTED) --test scenarios

.PHONY: setup-kubernetes
setup-kubernetes: ## build what a real cluster is made of (target/kubernetes/bin)
	@tests/setup.sh kubernetes

.PHONY: setup-oldest
setup-oldest: ## build the oldest API server that is maintained (target/kubernetes/oldest)
	@tests/setup.sh oldest

.PHONY: setup-conformance
setup-conformance: setup-kubernetes ## build Kubernetes' own specs of the network (target/conformance)
	@tests/setup.sh conformance

.PHONY: cluster-image
cluster-image: setup-kubernetes build-next ## images for the tests on real Kubernetes: this one, and the next pin layout
	@EGRET_BINARY=target/debug/egret-next EGRET_TAG=next tests/image.sh
	@EGRET_BINARY=target/debug/egret tests/image.sh

.PHONY: kubernetes
kubernetes: cluster-image setup-aws ## scenarios on real Kubernetes, with the installed chart
	@cargo test $(CARGO_FLAGS) $(TESTED) --test cluster

.PHONY: conformance
conformance: cluster-image setup-conformance ## Kubernetes' own specs of the network while one claim selects every pod
	@target/debug/egret-kubernetes conformance

.PHONY: setup-vm
setup-vm: ## make the emulated machine with Debian's own kernel (target/vm)
	@tests/setup.sh vm

.PHONY: vm
vm: export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER := tests/vm/run.sh
vm: setup-vm ## tests of what a kernel may lack (IPVS), in an emulated machine with Debian's own kernel
	@cargo test $(CARGO_FLAGS) $(TESTED) --test nft_contract -- --ignored

.PHONY: demo-kubernetes
demo-kubernetes: export EGRET := $(CURDIR)/target/demo/kubernetes/egret
demo-kubernetes: setup-kubernetes ## the demonstration on a real Kubernetes cluster, with the chart
	@tests/step.sh "build" cargo build $(CARGO_FLAGS) -p egret -p egret-kubernetes
	@rm -rf target/demo/kubernetes && mkdir -p target/demo/kubernetes
	@mv target/debug/egret target/demo/kubernetes/egret
	@EGRET_BINARY=target/demo/kubernetes/egret tests/image.sh
	@target/debug/egret-kubernetes demo

.PHONY: soak
soak: cluster-image setup-oldest setup-conformance vm ## the long scenarios, failovers by the dozen, IPVS, the oldest API server, Kubernetes' own specs, the long model check
	@target/debug/egret-lab soak
	@EGRET_SOAK=1 cargo test $(CARGO_FLAGS) $(TESTED) --test scenarios -- aws_slow_
	@EGRET_SOAK=1 cargo test $(CARGO_FLAGS) $(TESTED) --test cluster -- s11_ s24_first_packet_of
	@cargo test $(CARGO_FLAGS) $(TESTED) --test api_server --test chart --test crds -- --ignored
	@target/debug/egret-kubernetes conformance
	@target/debug/egret-kubernetes figures
	@env -u RUSTC_WORKSPACE_WRAPPER cargo run $(CARGO_FLAGS) --release -p egret-model -- check --long
	@env -u RUSTC_WORKSPACE_WRAPPER cargo run $(CARGO_FLAGS) --release -p egret-model -- cloud-leases

.PHONY: advisories
advisories: ## known vulnerabilities of dependencies (needs the advisory database)
	@tests/setup.sh licences
	@cargo deny --locked check advisories

.PHONY: clean-lab
clean-lab: ## remove what a killed laboratory or cluster left behind
	@if [ -x target/debug/egret-lab ]; then target/debug/egret-lab cleanup; fi
	@if [ -x target/debug/egret-kubernetes ]; then target/debug/egret-kubernetes cleanup; fi

.PHONY: image
image: ## build the container image (target/image/egret.tar)
	@tests/setup.sh image
	@tests/image.sh

.PHONY: chart
chart: ## the chart and the kustomize base, against a real API server
	@tests/chart.sh
