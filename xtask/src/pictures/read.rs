//! The picture of one read, from the guest's call to the bytes that it gets.

use super::svg::{Anchor, Svg};

/// A place on the grid: column and row.
type Place = (u8, u8);

/// A step of the read.
struct Step {
    at: Place,
    title: &'static str,
    what: &'static str,
    class: &'static str,
}

const fn step(at: Place, title: &'static str, what: &'static str) -> Step {
    Step {
        at,
        title,
        what,
        class: "box",
    }
}

const fn main_step(at: Place, title: &'static str, what: &'static str) -> Step {
    Step {
        at,
        title,
        what,
        class: "main",
    }
}

/// The lanes: a crate or part, and its first and last row.
const LANES: [(&str, u8, u8); 4] = [
    ("guest", 0, 0),
    ("wasi-ipfs-fs", 1, 1),
    ("pinset", 2, 3),
    ("backend", 4, 4),
];

const STEPS: [Step; 11] = [
    step((0, 0), "open, read", "ordinary file calls"),
    step((4, 0), "bytes", "verified against the CID"),
    step((0, 1), "descriptor", "ours, by its Rust type"),
    step((4, 1), "stream", "up to 64 KiB at once"),
    step((0, 2), "walk", "path to a verified link"),
    step((1, 2), "tree", "offset to a leaf"),
    main_step((2, 2), "staged?", "under one byte budget"),
    step((4, 2), "read", "on the same thread"),
    step((0, 3), "pin", "queued beside the read"),
    step((2, 3), "fetch", "once for all who wait"),
    step((2, 4), "Pinner::block", "CAR, Kubo, a gateway"),
];

/// The steps for bytes that come from outside.
const CHECKED: [Step; 2] = [
    main_step((3, 3), "verify", "hash against the CID"),
    step((4, 3), "stage", "ARC makes room"),
];

/// How an arrow turns between places that are neither in one row nor in one column.
#[derive(Clone, Copy)]
enum Turn {
    /// First along its row.
    RowFirst,
    /// First along its column.
    ColumnFirst,
}

/// The arrows: from, to, turn, label and style.
const ARROWS: [(Place, Place, Turn, &str, &str); 14] = [
    ((0, 0), (0, 1), Turn::RowFirst, "", "line"),
    ((0, 1), (0, 2), Turn::RowFirst, "", "line"),
    ((0, 2), (1, 2), Turn::RowFirst, "", "line"),
    ((1, 2), (2, 2), Turn::RowFirst, "", "line"),
    ((2, 2), (4, 2), Turn::RowFirst, "yes", "line"),
    ((4, 2), (4, 1), Turn::RowFirst, "", "line"),
    ((4, 1), (4, 0), Turn::RowFirst, "", "line"),
    ((2, 2), (2, 3), Turn::RowFirst, "no", "line"),
    ((2, 3), (2, 4), Turn::RowFirst, "", "line"),
    ((2, 4), (3, 3), Turn::RowFirst, "unverified", "line"),
    ((3, 3), (4, 3), Turn::RowFirst, "", "line"),
    ((4, 3), (4, 2), Turn::RowFirst, "", "line"),
    ((0, 2), (0, 3), Turn::RowFirst, "", "aside"),
    ((0, 3), (2, 4), Turn::ColumnFirst, "", "aside"),
];

const BOX: (f64, f64) = (146.0, 46.0);
const PITCH: (f64, f64) = (170.0, 80.0);
/// The middle of the first place.
const FIRST: (f64, f64) = (97.0, 58.0);
const WIDTH: f64 = 890.0;
const HEIGHT: f64 = 418.0;

fn middle((column, row): Place) -> (f64, f64) {
    (
        FIRST.0 + f64::from(column) * PITCH.0,
        FIRST.1 + f64::from(row) * PITCH.1,
    )
}

/// Draws the picture.
pub(super) fn draw() -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT);
    for (name, first, last) in LANES {
        let (top, bottom) = (middle((0, first)).1 - 42.0, middle((0, last)).1 + 32.0);
        svg.rectangle("lane", (8.0, top), (WIDTH - 16.0, bottom - top), 8.0);
        svg.text("small", (WIDTH - 18.0, top + 14.0), Anchor::End, name);
    }
    for (from, to, turn, label, class) in ARROWS {
        arrow(&mut svg, from, to, turn, label, class);
    }
    for Step {
        at,
        title,
        what,
        class,
    } in STEPS.iter().chain(&CHECKED)
    {
        let (x, y) = middle(*at);
        let corner = (x - BOX.0 / 2.0, y - BOX.1 / 2.0);
        svg.rectangle(class, corner, BOX, 6.0);
        svg.text("title", (x, y - 3.0), Anchor::Middle, title);
        svg.text("small", (x, y + 14.0), Anchor::Middle, what);
    }
    svg.finished("The way of one read, from the guest's call through the cache or the backend to verified bytes")
}

/// Draws an arrow from the edge of one box to the edge of another.
fn arrow(svg: &mut Svg, from: Place, to: Place, turn: Turn, label: &str, class: &str) {
    let ((x, y), (to_x, to_y)) = (middle(from), middle(to));
    let (right, down) = ((to_x - x).signum(), (to_y - y).signum());
    let side = |(x, y): (f64, f64), direction: f64| (x + direction * BOX.0 / 2.0, y);
    let edge = |(x, y): (f64, f64), direction: f64| (x, y + direction * BOX.1 / 2.0);
    let corners = if from.1 == to.1 {
        vec![side((x, y), right), side((to_x, to_y), -right)]
    } else if from.0 == to.0 {
        vec![edge((x, y), down), edge((to_x, to_y), -down)]
    } else {
        match turn {
            Turn::RowFirst => vec![side((x, y), right), (to_x, y), edge((to_x, to_y), -down)],
            Turn::ColumnFirst => vec![edge((x, y), down), (x, to_y), side((to_x, to_y), -right)],
        }
    };
    svg.arrow(class, &corners);
    if !label.is_empty() {
        let (at, anchor) = match from.0 == to.0 {
            true => ((x + 7.0, (y + to_y) / 2.0 + 4.0), Anchor::Start),
            false => ((corners[0].0 + 8.0, y - 6.0), Anchor::Start),
        };
        svg.text("small", at, anchor, label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_join_steps_and_everything_is_inside() {
        let places: Vec<_> = STEPS.iter().chain(&CHECKED).map(|step| step.at).collect();
        for (from, to, ..) in ARROWS {
            assert!(places.contains(&from) && places.contains(&to));
        }
        for place in places {
            let (x, y) = middle(place);
            assert!(x + BOX.0 / 2.0 < WIDTH - 8.0 && y + BOX.1 / 2.0 < HEIGHT);
        }
        let drawn = draw();
        assert!(drawn.starts_with("<svg ") && drawn.contains("prefers-color-scheme: dark"));
    }
}
