#!/usr/bin/env bash
# Lints a crate of this workspace and compiles it: cargo's RUSTC_WORKSPACE_WRAPPER in the builds of the suite. So lints
# cost no build of their own: `cargo clippy` would compile every dependency once more. Only rustc's own optimizations
# before LLVM's are off in there, so nothing that is shipped or timed is built by it.
exec clippy-driver "$@" -D warnings
