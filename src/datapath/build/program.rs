//! Compiles the BPF programs, with no header but clang's own, libbpf's and the kernel's UAPI.
//!
//! Used by the build script, and by the test that compares what the headers of two architectures
//! give. Always: the C library's headers are out of reach, since a machine that happens to have
//! them would hide that another has not.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

#[path = "../src/bpf/reasons.rs"]
mod reasons;

/// The kernel's `asm/` of an architecture: where Debian has the host's, where Debian's packages for
/// other architectures have theirs, and where other distributions have the host's.
fn find_asm(architecture: &str) -> Option<PathBuf> {
    let debian = format!("/usr/include/{architecture}-linux-gnu/asm");
    let cross = format!("/usr/{architecture}-linux-gnu/include/asm");
    let host = (architecture == env::consts::ARCH).then(|| "/usr/include/asm".to_owned());
    let mut candidates = [Some(debian), Some(cross), host].into_iter().flatten().map(PathBuf::from);
    candidates.find(|asm| asm.join("types.h").is_file())
}

/// Compiles `bpf/egret.bpf.c` of this crate with the headers of `architecture` (as Rust names it)
/// into `folder/egret.bpf.o`, and returns that path. Idempotent.
///
/// # Errors
/// Where clang or a header is missing, with the packages to install; where clang refuses the
/// programs, with what it printed.
pub fn compile(architecture: &str, folder: &Path) -> Result<PathBuf, String> {
    fs::write(folder.join("reasons.h"), reasons_header())
        .map_err(|error| format!("cannot write {}/reasons.h: {error}", folder.display()))?;
    let headers = folder.join("include");
    link_headers(architecture, &headers)?;
    let object = folder.join("egret.bpf.o");
    let clang = env::var("EGRET_CLANG").unwrap_or_else(|_| "clang".to_owned());
    let output = Command::new(&clang)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // v3 (jmp32, alu32) is what kernels since 5.1 run; the floor is 5.11.
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
        .args(["-nostdlibinc", "-isystem"])
        .arg(&headers)
        .arg("-I")
        .arg(folder)
        .args(["-c", "bpf/egret.bpf.c", "-o"])
        .arg(&object)
        .output()
        .map_err(|error| format!("cannot run {clang} ({error}): apt-get install clang"))?;
    said(&clang, &output).map(|()| object)
}

fn said(clang: &str, output: &Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{clang} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Makes a folder of links to the headers that the programs may use, and to no others.
fn link_headers(architecture: &str, folder: &Path) -> Result<(), String> {
    let asm = find_asm(architecture).ok_or_else(|| {
        format!(
            "the kernel's headers for {architecture} are missing (asm/types.h): apt-get install \
             linux-libc-dev, or for another architecture linux-libc-dev-ARCHITECTURE-cross"
        )
    })?;
    let beside = |name: &str| asm.with_file_name(name);
    let uapi = |name: &str| Some(beside(name)).filter(|path| path.is_dir());
    let plain = |name: &str| Path::new("/usr/include").join(name);
    let bpf = plain("bpf");
    if !bpf.join("bpf_helpers.h").is_file() {
        return Err("libbpf's headers are missing (bpf/bpf_helpers.h): apt-get install libbpf-dev"
            .to_owned());
    }
    let links = [
        ("linux", uapi("linux").unwrap_or_else(|| plain("linux"))),
        ("asm-generic", uapi("asm-generic").unwrap_or_else(|| plain("asm-generic"))),
        ("asm", asm.clone()),
        ("bpf", bpf),
    ];
    let failed = |error| format!("cannot link headers in {}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::create_dir_all(folder).map_err(failed)?;
    links.iter().try_for_each(|(name, to)| symlink(to, folder.join(name))).map_err(failed)
}

fn reasons_header() -> String {
    let mut header = String::from("#pragma once\n\nenum reason {\n");
    for reason in reasons::REASONS {
        let _ = writeln!(header, "\t{},", reason.name.to_uppercase());
    }
    header.push_str("\tREASONS,\n};\n");
    header
}
