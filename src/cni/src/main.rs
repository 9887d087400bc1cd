//! The plugin as a program of its own: small, and linked statically where it is built for a host
//! whose C library is not known.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match egret_cni::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("egret-cni: {error}");
            ExitCode::FAILURE
        }
    }
}
