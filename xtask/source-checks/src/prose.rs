//! Counts habits of prose over which a reader stumbles, in comments, pages and messages.
//!
//! It reads comments and doc comments of every `.rs` file, `.md` files, and string literals of several words in the
//! crates' and xtask's own code. Code blocks and literals of tests are left out. The count of a habit may only fall:
//! each has a bound, which `cargo xtask tidy` enforces.

mod habits;
mod text;

use std::{
    fs,
    io::{Write, stdout},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use self::habits::HABITS;

/// How much to print, and whether to enforce the bounds.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Prints where this habit occurs: file, line and sentence. `all` means every habit.
    #[arg(long, value_name = "HABIT")]
    list: Option<String>,
    /// Fails if a count is above its bound.
    #[arg(long)]
    bounded: bool,
}

/// This program's own files, which name the habits.
const SELF: &str = "xtask/source-checks/src/prose";

/// Counts the habits in every file that is in Git or not ignored by it.
pub(crate) fn count(root: &Path, flags: &Flags) -> Result<()> {
    if let Some(name) = flags.list.as_deref() {
        let is_known = name == "all" || HABITS.iter().any(|habit| habit.name == name);
        ensure!(is_known, "there is no habit {name:?}");
    }
    let mut counts = vec![0; HABITS.len()];
    let mut report = String::new();
    for name in files(root)? {
        let path = root.join(&name);
        if name.starts_with(SELF) || !path.is_file() {
            continue;
        }
        let source = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        for paragraph in text::paragraphs(&name, &source) {
            for (habit, count) in HABITS.iter().zip(&mut counts) {
                let places = (habit.find)(&paragraph.text);
                *count += places.len();
                let wanted = flags.list.as_deref();
                if wanted == Some(habit.name) || wanted == Some("all") {
                    for at in places {
                        let line = paragraph.line_of(at);
                        report += &format!("{name}:{line}: {}\n", excerpt(&paragraph.text, at));
                    }
                }
            }
        }
    }
    report += &format!("{:<24} {:>6} {:>6}\n", "habit", "count", "bound");
    let mut above = Vec::new();
    for (habit, count) in HABITS.iter().zip(&counts) {
        report += &format!("{:<24} {count:>6} {:>6}\n", habit.name, habit.most);
        if *count > habit.most {
            above.push(habit.name);
        }
    }
    report += &format!("{:<24} {:>6}\n", "together", counts.iter().sum::<usize>());
    stdout()
        .write_all(report.as_bytes())
        .context("cannot print")?;
    if flags.bounded && !above.is_empty() {
        bail!(
            "above the bound: {}; `cargo xtask prose --list HABIT` shows where",
            above.join(", ")
        );
    }
    Ok(())
}

fn files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root);
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let output = git
        .args(["--", "*.rs", "*.md"])
        .output()
        .context("cannot start git")?;
    ensure!(
        output.status.success(),
        "git ls-files in {}: {}",
        root.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Returns some text around a place.
fn excerpt(text: &str, at: usize) -> &str {
    let before = text[..at].char_indices().rev().take(30).last();
    let behind = text[at..].char_indices().nth(60);
    let from = before.map_or(at, |(from, _)| from);
    let to = behind.map_or(text.len(), |(to, _)| at + to);
    &text[from..to]
}
