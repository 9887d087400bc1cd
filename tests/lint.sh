#!/usr/bin/env bash
# Compiles a crate of this workspace as rustc does, and lints it first: cargo's RUSTC_WORKSPACE_WRAPPER in the builds of
# the suite. So lints cost no build of their own: `cargo clippy` would compile every dependency once more.
exec clippy-driver "$@" -D warnings
