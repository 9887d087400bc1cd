use crate::args::CheckArgs;
use crate::error::UsageError;

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let mut wrong = 0;
    for path in &args.paths {
        let broken = egret_state::manifest::check(path);
        if broken.is_empty() {
            println!("{}: ok", path.display());
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

#[cfg(feature = "kubernetes")]
/// Prints what `kubectl apply` needs before anything else of Egret's.
pub(crate) fn crds() -> anyhow::Result<()> {
    print!("{}", egret_api::crds_yaml()?);
    Ok(())
}
