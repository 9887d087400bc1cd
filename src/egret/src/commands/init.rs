use anyhow::Context as _;
use egret_state::DirectoryState;

use crate::args::DirectoryArgs;

pub(crate) fn run(args: &DirectoryArgs) -> anyhow::Result<()> {
    let directory = args.manifests.display();
    DirectoryState::create(&args.manifests)
        .with_context(|| format!("cannot make {directory} a store"))?;
    println!(
        "{directory} is a store now. Put manifests into it (EgressPool, StaticEgressIP, and v1 \
         Node, Namespace, Pod and Service), then run `egret standalone` or `egret controller` and \
         `egret agent`."
    );
    Ok(())
}
