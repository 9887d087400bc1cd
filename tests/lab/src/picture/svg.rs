use std::fmt::Write;

/// Where a text is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing under way.
pub(super) struct Svg(String);

const FONT: &str = "Inter, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif";

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{FONT}\">\n"
        );
        let _ = writeln!(text, "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>");
        Self(text)
    }

    #[expect(clippy::too_many_arguments, reason = "a text has that many properties")]
    pub(super) fn text(
        &mut self,
        x: f64,
        y: f64,
        size: f64,
        colour: &str,
        anchor: Anchor,
        bold: bool,
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if bold { "600" } else { "400" };
        let text = escape(text);
        let _ = writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{colour}\" \
             text-anchor=\"{anchor}\" font-weight=\"{weight}\">{text}</text>"
        );
    }

    pub(super) fn rotated(&mut self, x: f64, y: f64, size: f64, colour: &str, text: &str) {
        let text = escape(text);
        let _ = writeln!(
            self.0,
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" font-size=\"{size}\" \
             fill=\"{colour}\" text-anchor=\"middle\" font-weight=\"600\">{text}</text>"
        );
    }

    pub(super) fn rect(&mut self, x: f64, y: f64, w: f64, h: f64, colour: &str, opacity: f64) {
        let _ = writeln!(
            self.0,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" fill=\"{colour}\" \
             fill-opacity=\"{opacity}\"/>"
        );
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, dash: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.0,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
             stroke-dasharray=\"{dash}\"/>"
        );
    }

    /// Many small rectangles (x, y, width, height) of one colour in one element.
    pub(super) fn cells(&mut self, cells: &[(f64, f64, f64, f64)], colour: &str, opacity: f64) {
        if cells.is_empty() {
            return;
        }
        let _ = write!(self.0, "<path fill=\"{colour}\" fill-opacity=\"{opacity}\" d=\"");
        for (x, y, w, h) in cells {
            let _ = write!(self.0, "M{x:.1} {y:.1}h{w:.1}v{h:.1}h-{w:.1}z");
        }
        self.0.push_str("\"/>\n");
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
