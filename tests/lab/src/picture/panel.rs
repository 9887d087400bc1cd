use std::collections::BTreeMap;
use std::time::Duration;

use super::svg::{Anchor, Svg};
use super::window::{Mark, PictureWindow};
use crate::clock::WallTime;
use crate::load::{LoadSeries, TrafficKind};

pub(super) const SPEAKS: &str = "#2563eb";
pub(super) const DRIVES: &str = "#0d9488";
pub(super) const STALL: &str = "#f59e0b";
pub(super) const LOST: &str = "#dc2626";
const LANE: &str = "#e5e7eb";
const GRID: &str = "#e5e7eb";
const INK: &str = "#374151";

/// A wait that is drawn as a stall.
const STALLED: Duration = Duration::from_millis(180);
/// The time axis of latencies, in seconds, as powers of ten.
const LOWEST: f64 = -4.0;
const HIGHEST: f64 = 1.0;

/// Draws a scene into (x, y, width, height).
pub(super) fn draw(
    svg: &mut Svg,
    scene: &PictureWindow,
    area: (f64, f64, f64, f64),
    labelled: bool,
) {
    let (x, y, width, height) = area;
    let colour = if scene.bad { LOST } else { "#047857" };
    svg.text(x, y + 14.0, 14.0, "#111827", Anchor::Start, true, &scene.title);
    svg.text(x, y + 32.0, 12.5, colour, Anchor::Start, false, &scene.outcome);
    let marks = 40.0 + 15.0 * count(scene.marks.len());
    let plot = Plot { scene, x, width, top: y + marks, height: (height - marks) * 0.56 };
    plot.axes(svg, labelled);
    plot.dots(svg);
    let lanes = plot.top + plot.height + 10.0;
    plot.lanes(svg, lanes, y + height - 20.0 - lanes, labelled);
    plot.marks(svg, y + 50.0, y + height - 18.0);
    plot.seconds(svg, y + height - 4.0);
}

struct Plot<'a> {
    scene: &'a PictureWindow,
    x: f64,
    width: f64,
    top: f64,
    height: f64,
}

impl Plot<'_> {
    fn seconds_of(&self) -> f64 {
        (self.scene.before + self.scene.after).as_secs_f64()
    }

    fn at(&self, stamp: WallTime) -> f64 {
        let seconds = stamp.millis_after(self.scene.zero) / 1e3 + self.scene.before.as_secs_f64();
        self.x + (seconds / self.seconds_of()).clamp(0.0, 1.0) * self.width
    }

    fn begins(&self) -> WallTime {
        self.scene.zero - self.scene.before
    }

    fn ends(&self) -> WallTime {
        self.scene.zero + self.scene.after
    }

    fn level(&self, seconds: f64) -> f64 {
        let part = (seconds.max(1e-4).log10() - LOWEST) / (HIGHEST - LOWEST);
        self.top + self.height * (1.0 - part.clamp(0.0, 1.0))
    }

    fn axes(&self, svg: &mut Svg, labelled: bool) {
        let names = ["0.1 ms", "1 ms", "10 ms", "100 ms", "1 s", "10 s"];
        if labelled {
            let y = self.top - 8.0;
            svg.text(self.x - 8.0, y, 11.0, "#6b7280", Anchor::End, false, "an operation took");
        }
        for (power, name) in (-4..=1).zip(names) {
            let y = self.level(10_f64.powi(power));
            svg.line((self.x, y), (self.x + self.width, y), GRID, "");
            if labelled {
                svg.text(self.x - 8.0, y + 4.0, 11.0, INK, Anchor::End, false, name);
            }
        }
    }

    /// Every operation that ended in the scene, where it ended, as cells that darken.
    fn dots(&self, svg: &mut Svg) {
        for (kind, colour) in
            [(TrafficKind::PodSpeaks, SPEAKS), (TrafficKind::ServerDrives, DRIVES)]
        {
            let mut cells: BTreeMap<(i64, i64), u32> = BTreeMap::new();
            let samples = self.scene.series.iter().filter(|s| s.kind == kind);
            for sample in samples.flat_map(|series| &series.samples) {
                if sample.at < self.begins() || sample.at > self.ends() {
                    continue;
                }
                let (x, y) = (self.at(sample.at), self.level(f64::from(sample.micros) / 1e6));
                *cells.entry((cell(x), cell(y))).or_default() += 1;
            }
            for (least, most, opacity) in [(1, 1, 0.35), (2, 5, 0.6), (6, u32::MAX, 0.9)] {
                let chosen: Vec<_> = cells
                    .iter()
                    .filter(|(_, n)| (least..=most).contains(*n))
                    .map(|((x, y), _)| (uncell(*x), uncell(*y), 2.0, 2.0))
                    .collect();
                svg.cells(&chosen, colour, opacity);
            }
        }
    }

    /// One lane per connection: grey while it works, amber while it waits, red once it is lost.
    fn lanes(&self, svg: &mut Svg, top: f64, height: f64, labelled: bool) {
        let mut tcp: Vec<&LoadSeries> = self.scene.series.iter().filter(|s| is_tcp(s)).collect();
        tcp.sort_by_key(|s| (s.kind, s.pod.clone(), s.family, s.number));
        let pitch = height / count(tcp.len()).max(1.0);
        let (mut calm, mut stalls, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for (number, series) in tcp.iter().enumerate() {
            let y = top + pitch * count(number);
            let lane = |from: WallTime, to: WallTime| {
                let (a, b) = (self.at(from), self.at(to));
                (a, y, (b - a).max(0.4), pitch * 0.8)
            };
            calm.push(lane(self.begins(), self.ends()));
            for (from, to) in waits(series, self.begins(), self.ends()) {
                stalls.push(lane(from, to));
            }
            if let Some(at) = died(series, self.ends()) {
                lost.push(lane(at.max(self.begins()), self.ends()));
            }
        }
        svg.cells(&calm, LANE, 1.0);
        svg.cells(&stalls, STALL, 1.0);
        svg.cells(&lost, LOST, 1.0);
        if labelled {
            for (line, text) in
                [format!("{} TCP", tcp.len()), "connections".to_owned()].iter().enumerate()
            {
                let y = top + height / 2.0 - 2.0 + 13.0 * count(line);
                svg.text(self.x - 8.0, y, 11.0, INK, Anchor::End, false, text);
            }
        }
    }

    fn marks(&self, svg: &mut Svg, top: f64, bottom: f64) {
        for (number, Mark { at, label }) in self.scene.marks.iter().enumerate() {
            let (x, y) = (self.at(*at), top + 15.0 * count(number));
            svg.line((x, y - 8.0), (x, bottom), "#6b7280", "3 3");
            let late = x > self.x + self.width * 0.62;
            let (anchor, shift) = if late { (Anchor::End, -5.0) } else { (Anchor::Start, 5.0) };
            svg.text(x + shift, y, 11.5, INK, anchor, false, label);
        }
    }

    fn seconds(&self, svg: &mut Svg, y: f64) {
        let (before, after) = (self.scene.before.as_secs_f64(), self.scene.after.as_secs_f64());
        let mut second = -before.floor();
        while second <= after {
            let x = self.x + (second + before) / self.seconds_of() * self.width;
            let label = if second == 0.0 { "0 s".to_owned() } else { format!("{second:+.0}") };
            svg.text(x, y, 11.0, INK, Anchor::Middle, false, &label);
            second += 1.0;
        }
    }
}

fn is_tcp(series: &LoadSeries) -> bool {
    matches!(series.kind, TrafficKind::PodSpeaks | TrafficKind::ServerDrives)
}

/// The waits of a connection that overlap the window.
fn waits(series: &LoadSeries, from: WallTime, to: WallTime) -> Vec<(WallTime, WallTime)> {
    let ended = series
        .samples
        .iter()
        .map(|sample| (sample.at - Duration::from_micros(u64::from(sample.micros)), sample.at));
    let open = series.waiting.map(|begun| (begun, to));
    ended.chain(open).filter(|(a, b)| b.since(*a) >= STALLED && *b > from && *a < to).collect()
}

/// When a connection that was lost (by the end of the window or later) worked for the last time.
fn died(series: &LoadSeries, end: WallTime) -> Option<WallTime> {
    let last = series.samples.last().map_or(WallTime(0), |sample| sample.at);
    let silent = end.since(last) > Duration::from_secs(5);
    (series.ended.is_some() || silent).then_some(last).filter(|last| *last < end)
}

#[expect(clippy::cast_precision_loss, reason = "counts of things that are drawn")]
fn count(n: usize) -> f64 {
    n as f64
}

/// The number of the cell that a coordinate lies in; a cell is two pixels.
#[expect(clippy::cast_possible_truncation, reason = "a coordinate of the picture")]
fn cell(coordinate: f64) -> i64 {
    (coordinate / 2.0).floor() as i64
}

#[expect(clippy::cast_precision_loss, reason = "a coordinate of the picture")]
fn uncell(cell: i64) -> f64 {
    cell as f64 * 2.0
}
