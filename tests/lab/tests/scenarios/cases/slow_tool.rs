//! The tool that writes the rules takes long, as beside many rules of others or on a busy host.

use anyhow::{Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::{LabFixture, TestBed as _, wait_until};

use crate::fixtures::{PATIENCE, holder, moved, settles, usual, with_claim};

const GATEWAYS: [&str; 3] = ["gateway-1", "gateway-2", "gateway-3"];

/// From here on a transaction of nft takes 25 s on this machine; the rest of it is as before.
const SLOW: &str = "\
tool=$(readlink -f \"$(command -v nft)\")
cp \"$tool\" /run/nft-itself
cat > /run/nft-slow <<'END'
#!/bin/sh
if [ \"$*\" = '-f -' ]; then
    touch /run/nft-begun
    sleep 25
    touch /run/nft-ended
fi
exec /run/nft-itself \"$@\"
END
chmod +x /run/nft-slow
mount --bind /run/nft-slow \"$tool\"";

/// A planned move comes to its end while every gateway still waits for a transaction of nft.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    settles(fixture)?;
    for name in GATEWAYS {
        let node = fixture.lab.node(name)?;
        node.shell(SLOW)?;
        // No pod runs there. The agent puts it back, and its main loop waits for that.
        node.shell("/run/nft-itself delete table inet egret")?;
    }
    for name in GATEWAYS {
        wait_until("a transaction of nft", PATIENCE, || exists(fixture, name, "begun").ok())?;
    }
    let old = holder(fixture)?;
    let moving = fixture.held_by(&old);
    // It would wait for what the main loops write.
    fixture.lab.run_egret(&["drain", &old, "--wait", "0"])?;
    let to = moved(fixture, &old, &moving)?;
    for name in GATEWAYS {
        let ended = exists(fixture, name, "ended").is_ok();
        ensure!(!ended, "the plan waited for nft on {name}: {to} is late");
    }
    Ok(())
}

fn exists(fixture: &LabFixture, name: &str, what: &str) -> Result<()> {
    fixture.lab.node(name)?.shell(&format!("test -e /run/nft-{what}")).map(drop)
}
