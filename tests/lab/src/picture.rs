//! The picture of a run: what connections felt around each event, Egret above, ordinary SNAT below.
//!
//! Every panel shows the operations of a few seconds around one event: above, how long each took
//! (logarithmic); below, one lane per connection, with its stalls, and red from where it was lost.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

mod panel;
mod svg;
#[cfg(test)]
mod tests;
mod window;

pub use window::{Mark, PictureWindow};

use panel::draw;
use svg::{Anchor, Svg};

const WIDTH: f64 = 1280.0;
const ROW: f64 = 390.0;
const TOP: f64 = 84.0;
const FOOT: f64 = 46.0;
const SIDE: f64 = 128.0;
const RIGHT: f64 = 40.0;
const GAP: f64 = 26.0;

/// Draws the scenes of Egret in one row, and those of the control in the row below, as SVG.
#[must_use]
pub fn render(egret: &[PictureWindow], control: &[PictureWindow], caption: &str) -> String {
    let mut svg = Svg::new(WIDTH, TOP + ROW * 2.0 + FOOT);
    svg.text(SIDE, 36.0, 22.0, "#111827", Anchor::Start, true, "A gateway dies. Who notices?");
    svg.text(SIDE, 58.0, 13.0, "#4b5563", Anchor::Start, false, caption);
    for (row, (name, scenes)) in [("Egret", egret), ("Ordinary SNAT", control)].iter().enumerate() {
        let y = TOP + ROW * f64::from(u8::try_from(row).unwrap_or_default());
        row_label(&mut svg, y, name);
        let spans: f64 = scenes.iter().map(span).sum();
        let gaps = GAP * f64::from(u32::try_from(scenes.len().saturating_sub(1)).unwrap_or(0));
        let scale = (WIDTH - SIDE - RIGHT - gaps) / spans.max(1.0);
        let mut x = SIDE;
        for (at, scene) in scenes.iter().enumerate() {
            draw(&mut svg, scene, (x, y, span(scene) * scale, ROW - 40.0), at == 0);
            x += span(scene) * scale + GAP;
        }
    }
    legend(&mut svg, TOP + ROW * 2.0 + 22.0);
    svg.finish()
}

fn span(scene: &PictureWindow) -> f64 {
    (scene.before + scene.after).as_secs_f64()
}

fn row_label(svg: &mut Svg, y: f64, name: &str) {
    svg.rotated(28.0, y + (ROW - 40.0) / 2.0 + 20.0, 16.0, "#111827", name);
}

fn legend(svg: &mut Svg, y: f64) {
    let entries = [
        (panel::SPEAKS, "the pod sends, the server echoes: round trip"),
        (panel::DRIVES, "the server sends, the pod only acknowledges: way in"),
        (panel::STALL, "a connection that waits"),
        (panel::LOST, "a connection that is lost"),
    ];
    let mut x = SIDE;
    for (colour, label) in entries {
        svg.rect(x, y - 10.0, 12.0, 12.0, colour, 1.0);
        svg.text(x + 18.0, y, 13.0, "#374151", Anchor::Start, false, label);
        x += 18.0 + 6.7 * f64::from(u32::try_from(label.len()).unwrap_or(0)) + 24.0;
    }
}

/// Writes `NAME.svg` and, through rsvg-convert, `NAME.png`.
///
/// # Errors
/// Where the disk refuses it, or rsvg-convert is missing or fails.
pub fn save(svg: &str, dir: &Path, name: &str) -> Result<[PathBuf; 2]> {
    let paths = [dir.join(format!("{name}.svg")), dir.join(format!("{name}.png"))];
    std::fs::write(&paths[0], svg).with_context(|| paths[0].display().to_string())?;
    let mut child = Command::new("rsvg-convert")
        .args(["--zoom", "1.5", "--background-color", "white", "--output"])
        .arg(&paths[1])
        .stdin(Stdio::piped())
        .spawn()
        .context("rsvg-convert makes the PNG (apt-get install librsvg2-bin)")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(svg.as_bytes())?;
    }
    ensure!(child.wait()?.success(), "rsvg-convert failed on {}", paths[0].display());
    Ok(paths)
}
