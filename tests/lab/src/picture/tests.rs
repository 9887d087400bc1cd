use std::time::Duration;

use super::*;
use crate::clock::WallTime;

fn scene(title: &str, after: u64) -> PictureWindow {
    let mark = |at: u64, label: &str| Mark { at: WallTime(at), label: label.to_owned() };
    PictureWindow {
        title: title.to_owned(),
        outcome: "0 of 200 connections lost, longest stall 866 ms".to_owned(),
        bad: false,
        zero: WallTime(2_000_000_000),
        before: Duration::from_millis(1500),
        after: Duration::from_secs(after),
        marks: vec![
            mark(2_000_000_000, "gateway-3 is off"),
            mark(2_500_000_000, "gateway-1 holds"),
        ],
        series: Vec::new(),
    }
}

fn attribute(element: &str, name: &str) -> f64 {
    let (_, rest) = element.split_once(&format!(" {name}=\"")).unwrap();
    rest.split_once('"').unwrap().0.parse().unwrap()
}

/// From where to where a text reaches, where a character is as wide as that of a wide font.
fn extent(element: &str) -> (f64, f64) {
    let (head, text) = element.split_once('>').unwrap();
    let letters = u32::try_from(text.trim_end_matches("</text>").chars().count()).unwrap();
    let width = f64::from(letters) * attribute(head, "font-size") * 0.6;
    let x = attribute(head, "x");
    match head {
        h if h.contains("\"end\"") => (x - width, x),
        h if h.contains("\"middle\"") => (x - width / 2.0, x + width / 2.0),
        _ => (x, x + width),
    }
}

#[test]
fn no_text_is_cut_off_at_an_edge() {
    let egret = ["Power off the holder", "Planned move: drain gateway-1", "Power off again"]
        .map(|title| scene(title, 3));
    let svg = render(&egret, &[scene("The same power-off", 10)], "200 TCP connections");
    let texts: Vec<&str> = svg.lines().filter(|line| line.starts_with("<text x=")).collect();
    assert!(texts.iter().any(|text| text.contains("an operation took")), "{svg}");
    for text in texts {
        let (left, right) = extent(text);
        assert!(left >= 0.0 && right <= WIDTH, "{left:.0}–{right:.0}: {text}");
    }
}
