//! Compiles the BPF programs and writes the counters' names for them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[path = "src/bpf/reasons.rs"]
mod reasons;

const SOURCES: [&str; 6] =
    ["egret.bpf.c", "maps.h", "parse.h", "rewrite.h", "neighbour.h", "too_big.h"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed=bpf/{source}");
    }
    println!("cargo::rerun-if-changed=src/bpf/reasons.rs");
    println!("cargo::rerun-if-env-changed=EGRET_CLANG");
    if let Err(message) = compile() {
        eprintln!("egret-datapath: {message}");
        std::process::exit(1);
    }
}

fn compile() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set; run cargo")?);
    fs::write(out.join("reasons.h"), reasons_header())
        .map_err(|error| format!("cannot write reasons.h: {error}"))?;
    let clang = env::var("EGRET_CLANG").unwrap_or_else(|_| "clang".to_owned());
    let status = Command::new(&clang)
        // v3 (jmp32, alu32) is what kernels since 5.1 run; the floor is 5.11.
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
        .arg("-I")
        .arg(&out)
        .args(architecture_headers())
        .args(["-c", "bpf/egret.bpf.c", "-o"])
        .arg(out.join("egret.bpf.o"))
        .status()
        .map_err(|error| {
            format!("cannot run {clang} ({error}): apt-get install clang libbpf-dev")
        })?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{clang} failed ({status}); it needs the headers of libbpf-dev and linux-libc-dev"))
}

/// Debian and Ubuntu keep asm/*.h in a folder by architecture, which `-target bpf` does not find.
fn architecture_headers() -> Vec<String> {
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let folder = format!("/usr/include/{architecture}-linux-gnu");
    if Path::new(&folder).is_dir() { vec!["-idirafter".to_owned(), folder] } else { Vec::new() }
}

fn reasons_header() -> String {
    let mut header = String::from("#pragma once\n\nenum reason {\n");
    for reason in reasons::REASONS {
        let _ = writeln!(header, "\t{},", reason.name.to_uppercase());
    }
    header.push_str("\tREASONS,\n};\n");
    header
}
