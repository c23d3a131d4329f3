//! Writes SVG: shapes and text in a few styles that suit light and dark pages, without external fonts.

use std::fmt::Write as _;

/// A picture that is being drawn.
#[derive(Debug)]
pub(super) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// The point of a text that is at its position.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    /// At its beginning.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// The styles. Colours are set once for light and once for dark pages.
const STYLE: &str = "\
text { font-family: system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; font-size: 13px; fill: #1f2328; }
.title { font-size: 14px; font-weight: 600; }
.small { font-size: 11.5px; fill: #59636e; }
.lane { fill: #f6f8fa; stroke: #d1d9e0; }
.box { fill: #ffffff; stroke: #818b98; }
.main { fill: #ddf4ff; stroke: #0969da; }
.line { fill: none; stroke: #59636e; stroke-width: 1.4; }
.aside { fill: none; stroke: #818b98; stroke-width: 1.2; stroke-dasharray: 4 3; }
.head { fill: #59636e; }
.grid { stroke: #d1d9e0; stroke-width: 1; }
.one { stroke: #59636e; stroke-width: 1.4; }
.bar { fill: #54aeff; }
.dot { fill: #0550ae; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; }
.small { fill: #9198a1; }
.lane { fill: #151b23; stroke: #3d444d; }
.box { fill: #0d1117; stroke: #656c76; }
.main { fill: #121d2f; stroke: #4493f8; }
.line { stroke: #9198a1; }
.aside { stroke: #656c76; }
.head { fill: #9198a1; }
.grid { stroke: #3d444d; }
.one { stroke: #9198a1; }
.bar { fill: #1f6feb; }
.dot { fill: #a5d6ff; }
}
";

impl Svg {
    /// An empty picture.
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    /// Adds an element, unchanged.
    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }

    /// Adds a rectangle with round corners; `at` is its upper left corner.
    pub(super) fn rectangle(&mut self, class: &str, at: (f64, f64), size: (f64, f64), round: f64) {
        let ((x, y), (width, height)) = (at, size);
        self.add(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="{round}"/>"#
        ));
    }

    /// Adds a line through these points.
    pub(super) fn path(&mut self, class: &str, corners: &[(f64, f64)]) {
        let points: Vec<_> = corners
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        self.add(format_args!(
            r#"<polyline class="{class}" points="{}"/>"#,
            points.join(" ")
        ));
    }

    /// Adds a line with an arrowhead at its end. The last segment must be horizontal or vertical.
    pub(super) fn arrow(&mut self, class: &str, corners: &[(f64, f64)]) {
        self.path(class, corners);
        let [.., (from_x, from_y), (x, y)] = corners else {
            return;
        };
        let (dx, dy) = ((x - from_x).signum(), (y - from_y).signum());
        let (dx, dy) = match (x - from_x).abs() > (y - from_y).abs() {
            true => (dx, 0.0),
            false => (0.0, dy),
        };
        let back = (x - 8.0 * dx, y - 8.0 * dy);
        let (left, right) = (
            (back.0 + 4.0 * dy, back.1 + 4.0 * dx),
            (back.0 - 4.0 * dy, back.1 - 4.0 * dx),
        );
        self.add(format_args!(
            r#"<polygon class="head" points="{x:.1},{y:.1} {:.1},{:.1} {:.1},{:.1}"/>"#,
            left.0, left.1, right.0, right.1
        ));
    }

    /// Adds a circle.
    pub(super) fn dot(&mut self, at: (f64, f64), radius: f64) {
        let (x, y) = at;
        self.add(format_args!(
            r#"<circle class="dot" cx="{x:.1}" cy="{y:.1}" r="{radius}"/>"#
        ));
    }

    /// Adds a line of text; `at` is on its baseline.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let (x, y) = at;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.add(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    /// Returns the file; `title` is for those who cannot see the picture.
    pub(super) fn finished(self, title: &str) -> String {
        let Self {
            width,
            height,
            body,
        } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n\
             <style>\n{STYLE}</style>\n{body}</svg>\n",
            escaped(title)
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
