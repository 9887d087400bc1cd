//! What a scraper is given: OpenMetrics where it asks for that, else Prometheus' older text format, which every scraper
//! reads.

use hyper::header::{ACCEPT, HeaderMap};

/// <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
pub(crate) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a request asks for OpenMetrics. Prometheus names it beside the text format, with the greater weight.
pub(crate) fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next() == Some("application/openmetrics-text");
        is_named && !parts.any(|part| part.replace(' ', "") == "q=0")
    })
}

/// OpenMetrics → the text format: there a counter's and an info's name ends as its samples' do, and nothing marks the end.
pub(crate) fn text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut name_of_samples = (String::new(), String::new());
    for (line, next) in open_metrics.lines().zip(open_metrics.lines().skip(1).chain([""])) {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "EOF"] | ["#", "UNIT", ..] => {}
            ["#", "HELP", name, help] => {
                name_of_samples = ((*name).to_owned(), sample_name(name, next));
                text.push_str(&format!("# HELP {} {help}\n", name_of_samples.1));
            }
            ["#", "TYPE", name, kind] => {
                let (family, sample) = &name_of_samples;
                let sample = if family == name { sample } else { *name };
                let kind = match *kind {
                    "info" | "stateset" => "gauge",
                    "unknown" => "untyped",
                    kind => kind,
                };
                text.push_str(&format!("# TYPE {sample} {kind}\n"));
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// By the family's type, which follows its help.
fn sample_name(family: &str, type_line: &str) -> String {
    match type_line.rsplit(' ').next() {
        Some("counter") => format!("{family}_total"),
        Some("info") => format!("{family}_info"),
        _ => family.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::metrics::{counters, gauges, registry};

    fn accepts(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, value.parse().unwrap());
        }
        wants_open_metrics(&headers)
    }

    #[test]
    fn who_asks_for_open_metrics_gets_it() {
        assert!(!accepts(&[]), "curl");
        assert!(!accepts(&["*/*"]) && !accepts(&["text/plain;version=0.0.4"]));
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4";
        assert!(accepts(&[prometheus]));
        assert!(accepts(&["text/plain", "application/openmetrics-text; version=1.0.0"]));
        assert!(!accepts(&["application/openmetrics-text; q=0, */*"]));
    }

    fn scraped() -> String {
        let mut registry = registry("1.2.3");
        counters(&mut registry, "drops", "Packets dropped", "reason", || [("no_block", 3)]);
        gauges(&mut registry, "peer_silence_seconds", "Since heard", "node", || {
            vec![("a \"b\"".to_owned(), 0.5)]
        });
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn names_are_those_of_the_samples() {
        let text = text(&scraped());
        for line in [
            "# TYPE egret_build_info gauge",
            "egret_build_info{version=\"1.2.3\"} 1",
            "# TYPE egret_drops_total counter",
            "egret_drops_total{reason=\"no_block\"} 3",
            "# TYPE egret_peer_silence_seconds gauge",
        ] {
            assert!(text.lines().any(|its| its == line), "{line}: {text}");
        }
        assert!(!text.contains("EOF"));
    }

    #[test]
    fn promtool_finds_nothing_wrong() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/promtool/promtool");
        let promtool = Command::new(path)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut promtool = promtool
            .unwrap_or_else(|error| panic!("{path}: {error}; tests/setup.sh unit unpacks it"));
        promtool.stdin.take().unwrap().write_all(text(&scraped()).as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap();
        let said = (said.status.success(), String::from_utf8_lossy(&said.stderr).into_owned());
        assert_eq!(said, (true, String::new()));
    }
}
