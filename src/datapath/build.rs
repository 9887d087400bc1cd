//! Compiles the BPF programs.

use std::env;
use std::path::PathBuf;

#[path = "build/program.rs"]
mod program;

fn main() {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/bpf/reasons.rs");
    println!("cargo::rerun-if-env-changed=EGRET_CLANG");
    if let Err(message) = compile() {
        eprintln!("egret-datapath: {message}");
        std::process::exit(1);
    }
}

fn compile() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set; run cargo")?);
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").map_err(|error| error.to_string())?;
    program::compile(&architecture, &out).map(drop)
}
