use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use egret_core::model::InvalidObject;
use egret_state::manifest;

use crate::args::CheckArgs;
use crate::error::UsageError;

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let mut wrong = 0;
    for path in &args.paths {
        let (name, broken) = check(path)?;
        if broken.is_empty() {
            println!("{name}: ok");
        }
        wrong += broken.len();
        for broken in broken {
            println!("{}: {}", broken.place, broken.message);
        }
    }
    if wrong > 0 {
        return Err(UsageError(format!("{wrong} mistakes; nothing was applied")).into());
    }
    Ok(())
}

/// What is wrong with a path, or with standard input, and what that is called.
fn check(path: &Path) -> anyhow::Result<(String, Vec<InvalidObject>)> {
    if path != Path::new("-") {
        return Ok((path.display().to_string(), manifest::check(path)));
    }
    let name = "standard input".to_owned();
    let mut bytes = Vec::new();
    let most = manifest::MAX_FILE_BYTES;
    let stdin = std::io::stdin().lock();
    stdin.take(most + 1).read_to_end(&mut bytes).context("cannot read standard input")?;
    anyhow::ensure!(bytes.len() as u64 <= most, "standard input is larger than {most} bytes");
    let broken = manifest::check_bytes(&name, &bytes);
    Ok((name, broken))
}

#[cfg(feature = "kubernetes")]
/// Prints what `kubectl apply` needs before anything else of Egret's.
pub(crate) fn crds() -> anyhow::Result<()> {
    print!("{}", egret_api::crds_yaml()?);
    Ok(())
}
