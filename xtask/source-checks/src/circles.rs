//! The check `circles`: finds files of a crate that import each other in a circle, which cannot be read from the bottom
//! up.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
    path::Path,
};

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    crates,
    tree::Tree,
    uses::{self, Uses},
};

/// How much to print.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Prints every import inside each circle, not only those of the shortest way round.
    #[arg(long)]
    all: bool,
}

/// The crates that are checked.
const CRATES: [&str; 3] = ["crates/*", "xtask", "xtask/*"];

/// Checks every crate. The error lists the circles.
pub(crate) fn check(root: &Path, flags: &Flags) -> Result<()> {
    let mut found = 0;
    let mut files = 0;
    let mut report = String::new();
    for one in crates::read(root, &CRATES)? {
        for tree in &one.trees {
            let uses = uses::of(tree);
            files += tree.files.len();
            for circle in circles(tree.files.len(), &uses) {
                found += 1;
                describe(&mut report, tree, &uses, &circle, flags.all);
            }
        }
    }
    if found > 0 {
        bail!("{found} import circles\n{}", report.trim_end());
    }
    println!("no import circle in {files} files");
    Ok(())
}

/// Files that reach each other, and the shortest way round.
#[derive(Debug, PartialEq, Eq)]
struct Circle {
    members: BTreeSet<usize>,
    /// Each file uses the next, and the last uses the first.
    shortest: Vec<usize>,
}

fn circles(files: usize, uses: &Uses) -> Vec<Circle> {
    let mut next: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (from, to) in uses.keys() {
        next.entry(*from).or_default().push(*to);
    }
    let reached: Vec<BTreeSet<usize>> = (0..files).map(|file| reached_from(file, &next)).collect();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    let mut circles = Vec::new();
    for file in 0..files {
        if !reached[file].contains(&file) || seen.contains(&file) {
            continue;
        }
        let returns = |other: &usize| reached[*other].contains(&file);
        let members: BTreeSet<_> = reached[file].iter().copied().filter(returns).collect();
        seen.extend(&members);
        let ways = members
            .iter()
            .filter_map(|start| way_round(*start, &members, &next));
        let shortest = ways.min_by_key(Vec::len).unwrap_or_default();
        circles.push(Circle { members, shortest });
    }
    circles
}

fn reached_from(start: usize, next: &BTreeMap<usize, Vec<usize>>) -> BTreeSet<usize> {
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![start]);
    while let Some(file) = waiting.pop() {
        for to in next.get(&file).into_iter().flatten() {
            if reached.insert(*to) {
                waiting.push(*to);
            }
        }
    }
    reached
}

/// Returns the shortest way from a file back to itself.
fn way_round(
    start: usize,
    members: &BTreeSet<usize>,
    next: &BTreeMap<usize, Vec<usize>>,
) -> Option<Vec<usize>> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(file) = waiting.pop_front() {
        for to in next.get(&file).into_iter().flatten() {
            if *to == start {
                let mut way = vec![file];
                while let Some(earlier) = before.get(&way[way.len() - 1]) {
                    way.push(*earlier);
                }
                way.reverse();
                return Some(way);
            }
            if members.contains(to) && !before.contains_key(to) {
                before.insert(*to, file);
                waiting.push_back(*to);
            }
        }
    }
    None
}

fn describe(report: &mut String, tree: &Tree, uses: &Uses, circle: &Circle, all: bool) {
    let name = |file: usize| tree.files[file].path.display();
    let Circle { members, shortest } = circle;
    // Writing into a string cannot fail.
    let _ = writeln!(report, "\na circle of {} files:", members.len());
    for member in members {
        let _ = writeln!(report, "    {}", name(*member));
    }
    let _ = writeln!(report, "  the shortest way round:");
    for (at, from) in shortest.iter().enumerate() {
        let to = shortest[(at + 1) % shortest.len()];
        // One name is enough: the first is usually an import.
        if let Some((line, item)) = uses[&(*from, to)].first() {
            let _ = writeln!(
                report,
                "    {}:{line} imports `{item}` from {}",
                name(*from),
                name(to)
            );
        }
    }
    if all {
        let _ = writeln!(report, "  all imports in it:");
        let inside = |(from, to): &(usize, usize)| members.contains(from) && members.contains(to);
        for ((from, to), places) in uses.iter().filter(|(edge, _)| inside(edge)) {
            let items: BTreeSet<_> = places.iter().map(|(_, item)| item.as_str()).collect();
            let items: Vec<_> = items.into_iter().collect();
            let line = places.first().map_or(0, |(line, _)| *line);
            let _ = writeln!(
                report,
                "    {}:{line} imports {} from {}",
                name(*from),
                items.join(", "),
                name(*to)
            );
        }
    }
}

#[cfg(test)]
mod tests;
