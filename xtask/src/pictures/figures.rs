//! The chart of the bench: how many times faster `/ipfs` is than each other way, as a range over all runs.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::svg::{Anchor, Svg};

/// The text between a figure's work and the way that it is compared with.
const COMPARED: &str = ", times ";

/// The ways that are compared with, in the order of the chart: their name in the bench, and the heading. Any other
/// comparison comes last.
const AGAINST: [(&str, &str); 2] = [
    ("preopen", "against wasmtime-wasi's preopened directory"),
    (
        "preopen, allow_blocking_current_thread",
        "against the same with allow_blocking_current_thread",
    ),
];

const WIDTH: f64 = 890.0;
/// The ends of the area of the bars.
const LEFT: f64 = 330.0;
const RIGHT: f64 = 830.0;
const ROW: f64 = 24.0;
const HEADING: f64 = 34.0;

/// A row of the chart.
#[derive(Debug, PartialEq)]
struct Row {
    label: String,
    /// The comparison: its index in `AGAINST`, or the index after the last.
    group: usize,
    /// The ratio in each run, and for each preview if the run has both.
    values: Vec<f64>,
}

impl Row {
    fn least(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn most(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }
}

/// Draws the chart from `docs/bench.json`: `{"runs": [{"machine": "…", "figures": {"NAME": RATIO}}]}`.
pub(super) fn draw(bench: &Value) -> Result<String> {
    let runs = bench["runs"].as_array().context("no runs")?;
    let rows = rows(runs)?;
    ensure!(!rows.is_empty(), "the runs have no ratio");
    let machines: BTreeSet<_> = runs
        .iter()
        .filter_map(|run| run["machine"].as_str())
        .collect();
    let groups: BTreeSet<_> = rows.iter().map(|row| row.group).collect();
    let chart = HEADING * groups.len() as f64 + ROW * rows.len() as f64;
    let bottom = 44.0 + chart + 8.0;
    let mut svg = Svg::new(WIDTH, bottom + 44.0 + 16.0 * machines.len() as f64);

    svg.text(
        "title",
        (16.0, 26.0),
        Anchor::Start,
        "How many times faster the same guest is by /ipfs",
    );
    let scale = Scale::of(&rows);
    for tick in scale.ticks() {
        let x = scale.x(tick);
        let class = if tick == 1.0 { "one" } else { "grid" };
        svg.path(class, &[(x, 44.0), (x, bottom)]);
        svg.text("small", (x, bottom + 16.0), Anchor::Middle, &times(tick));
    }
    let mut y = 44.0;
    let mut group = None;
    for row in &rows {
        if group != Some(row.group) {
            group = Some(row.group);
            y += HEADING;
            let heading = AGAINST.get(row.group).map(|(_, heading)| *heading);
            let heading = heading.unwrap_or("cold, out of a Kubo node");
            svg.text("small", (16.0, y - 10.0), Anchor::Start, heading);
        }
        let (least, most) = (scale.x(row.least()), scale.x(row.most()));
        let middle = y + ROW / 2.0;
        svg.text("", (32.0, middle + 4.0), Anchor::Start, &row.label);
        let bar = (least - 4.0, middle - 5.0);
        svg.rectangle("bar", bar, (most - least + 8.0, 10.0), 5.0);
        for value in &row.values {
            svg.dot((scale.x(*value), middle), 2.5);
        }
        let range = match times(row.least()) == times(row.most()) {
            true => times(row.least()),
            false => format!("{} to {}", number(row.least()), times(row.most())),
        };
        svg.text("small", (most + 10.0, middle + 4.0), Anchor::Start, &range);
        y += ROW;
    }
    let note = match runs.len() {
        1 => "One run; a dot is the median of its rounds, for each WASI preview.".to_owned(),
        count => {
            format!("{count} runs; a dot is the median of a run's rounds, for each WASI preview.")
        }
    };
    svg.text("small", (16.0, bottom + 36.0), Anchor::Start, &note);
    for (at, machine) in machines.into_iter().enumerate() {
        let y = bottom + 36.0 + 16.0 * (at + 1) as f64;
        svg.text("small", (16.0, y), Anchor::Start, machine);
    }
    Ok(svg
        .finished("How many times faster a guest reads by /ipfs than by other ways, least to most"))
}

/// Returns the comparisons of all runs, sorted by group, then in the order of the runs.
fn rows(runs: &[Value]) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for run in runs {
        let figures = run["figures"].as_object().context("a run has no figures")?;
        for (name, value) in figures {
            let Some((work, with)) = name.split_once(COMPARED) else {
                continue;
            };
            let value = value.as_f64().filter(|value| *value > 0.0);
            let value = value.with_context(|| format!("{name} is not a ratio"))?;
            let group = AGAINST.iter().position(|(known, _)| *known == with);
            let label = match group {
                Some(_) => work
                    .trim_end_matches(", p1")
                    .trim_end_matches(", p2")
                    .to_owned(),
                None => with.replace('`', ""),
            };
            let group = group.unwrap_or(AGAINST.len());
            let same = |row: &&mut Row| row.label == label && row.group == group;
            match rows.iter_mut().find(same) {
                Some(row) => row.values.push(value),
                None => rows.push(Row {
                    label,
                    group,
                    values: vec![value],
                }),
            }
        }
    }
    rows.sort_by_key(|row| row.group);
    Ok(rows)
}

/// A logarithmic scale.
#[derive(Debug)]
struct Scale {
    from: f64,
    to: f64,
}

impl Scale {
    /// The scale between two powers of two that contains all values, 1 and 2.
    fn of(rows: &[Row]) -> Self {
        let least = rows.iter().map(Row::least).fold(1.0, f64::min);
        let most = rows.iter().map(Row::most).fold(2.0, f64::max);
        Self {
            from: least.log2().floor().exp2(),
            to: most.log2().ceil().exp2(),
        }
    }

    fn x(&self, value: f64) -> f64 {
        let part = (value / self.from).log2() / (self.to / self.from).log2();
        LEFT + part * (RIGHT - LEFT)
    }

    fn ticks(&self) -> Vec<f64> {
        let doubled = std::iter::successors(Some(self.from), |tick| Some(tick * 2.0));
        doubled.take_while(|tick| *tick <= self.to).collect()
    }
}

/// Formats a number with about two significant digits.
fn number(value: f64) -> String {
    match value {
        ..9.95 => {
            let text = format!("{value:.1}");
            text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
        }
        value => format!("{value:.0}"),
    }
}

fn times(value: f64) -> String {
    format!("{}×", number(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({ "runs": [
            { "machine": "two cores, ext4", "figures": {
                "open+close, p2, times preopen": 35.0,
                "open+close, p1, times preopen": 47.0,
                "stat, p2, times preopen, allow_blocking_current_thread": 1.15,
                "guest by /ipfs, times `ipfs cat`": 2.0,
                "peak, MiB": 13.0,
            } },
            { "machine": "another machine", "figures": {
                "open+close, p2, times preopen": 34.0,
                "stat, p2, times preopen, allow_blocking_current_thread": 0.84,
            } },
        ] })
    }

    #[test]
    fn runs_and_previews_make_one_range() -> Result<()> {
        let bench = sample();
        let rows = rows(bench["runs"].as_array().context("runs")?)?;
        let ranges: Vec<_> = rows
            .iter()
            .map(|row| (row.label.as_str(), row.group, row.least(), row.most()))
            .collect();
        assert_eq!(
            ranges,
            [
                ("open+close", 0, 34.0, 47.0),
                ("stat", 1, 0.84, 1.15),
                ("ipfs cat", 2, 2.0, 2.0),
            ]
        );
        assert_eq!(
            Scale::of(&rows).ticks(),
            [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
        );
        Ok(())
    }

    #[test]
    fn the_chart_says_the_ranges_and_the_machines() -> Result<()> {
        let drawn = draw(&sample())?;
        for text in [
            "34 to 47×",
            "0.8 to 1.1×",
            "2×",
            "two cores, ext4",
            "another machine",
            "2 runs",
        ] {
            assert!(drawn.contains(text), "{text}: {drawn}");
        }
        assert!(draw(&json!({ "runs": [] })).is_err());
        assert!(draw(&json!({})).is_err());
        Ok(())
    }
}
