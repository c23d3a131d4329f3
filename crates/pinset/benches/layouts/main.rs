//! `cargo bench -p pinset --bench layouts`: ways to lay blocks out on disk, side by side in one run: packed slots by
//! size class, as staging has them, and one file a block.
//!
//! Everything is in the page cache. What is measured is what a layout costs beyond the copy of the bytes: names, opens,
//! descriptors, unlinks. The index from a block's key to where it lies is the same in all. `--json FILE` writes the
//! figures there too.
//!
//! Mapped segments are not among them, though they read faster still (tried once: 4 KiB in 0.55 of the time of packed
//! slots, 64 KiB in 0.8): a map of a file of which parts are cut, or that the disk cannot give, faults with SIGBUS,
//! which ends the host; a page that is not in memory stops an async thread for a disk's time, and cannot be asked about
//! first; and making one is unsafe code.

mod layout;
mod work;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use layout::{Files, Layout, Packed};
use serde_json::json;
use work::{Sizes, Work};

/// Layouts of staging: opening, sequential and random reads, small files, eviction.
#[derive(Debug, Parser)]
#[command(name = "layouts")]
struct Flags {
    /// Where the blocks are to lie: the file system that is measured.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Number of blocks of 1 MiB.
    #[arg(long, default_value_t = 256)]
    large: u64,
    /// Number of blocks of up to 8 KiB.
    #[arg(long, default_value_t = 8_192)]
    small: u64,
    /// How many descriptors the layout that keeps them may keep.
    #[arg(long, default_value_t = 512)]
    descriptors: usize,
    /// How often each is measured; the best counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Where to write the figures as JSON; in the workspace's folder, where it is relative.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What Cargo hands to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let sizes = Sizes {
        large: flags.large,
        small: flags.small,
    };
    let capacity = sizes.bytes() * 2;
    let mut layouts: [Box<dyn Layout>; 3] = [
        Box::new(Packed::new(&flags.dir, capacity)),
        Box::new(Files::opened_for_each_read(&flags.dir)),
        Box::new(Files::kept_open(&flags.dir, flags.descriptors)),
    ];
    println!(
        "microseconds an operation, and how many times those of the first; best of {} rounds, in {}",
        flags.rounds,
        flags.dir.display()
    );
    print!("\n{:<48}", "");
    layouts
        .iter()
        .for_each(|layout| print!(" {:>22}", layout.name()));
    println!();
    for layout in &mut layouts {
        work::fill(layout.as_mut(), sizes);
    }
    let mut rows = Vec::new();
    for work in Work::ALL {
        let mut best = [f64::INFINITY; 3];
        // In turn, so that what else the machine does hits all alike.
        for round in 0..flags.rounds {
            for (layout, best) in layouts.iter_mut().zip(&mut best) {
                let micros = work::micros_an_operation(layout.as_mut(), work, sizes, round);
                *best = best.min(micros);
            }
        }
        print!("{:<48}", work.name());
        for (layout, micros) in layouts.iter().zip(best) {
            let times = micros / best[0];
            print!(" {:>22}", format!("{micros:.2} ({times:.2}x)"));
            rows.push(json!({
                "work": work.name(), "layout": layout.name(), "microseconds": micros, "times": times,
            }));
        }
        println!();
    }
    for (what, of) in [
        (
            "bytes on disk for each of a block's",
            (|layout| layout.overhead()) as fn(&dyn Layout) -> f64,
        ),
        ("descriptors held", |layout| layout.descriptors() as f64),
    ] {
        print!("{what:<48}");
        for layout in &layouts {
            let value = of(layout.as_ref());
            print!(" {value:>22.3}");
            rows.push(json!({ "what": what, "layout": layout.name(), "value": value }));
        }
        println!();
    }
    let Some(path) = flags.json else {
        return ExitCode::SUCCESS;
    };
    // Cargo runs a bench in its package's folder.
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    match std::fs::write(&path, format!("{:#}\n", json!(rows))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
