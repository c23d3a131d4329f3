//! `cargo bench -p pinset --bench layouts`: ways to lay blocks out on disk, side by side in one run: packed slots by
//! size class, as staging has them, and one file for each block.
//!
//! Everything is in the page cache. The bench measures the cost of a layout beyond the copy of the bytes: names, opens,
//! descriptors, unlinks. The index from a block's key to its place is the same in all. `--json FILE` also writes the
//! figures to a file.
//!
//! Mapped segments are not among the layouts, although they read faster still (in one trial, 4 KiB took 0.55 of the
//! time of packed slots, and 64 KiB took 0.8). If parts of a mapped file are cut off, or if the disk cannot read them,
//! an access faults with SIGBUS, which ends the host. A page that is not in memory stops an async thread for as long as
//! the disk takes, and there is no way to ask first. And a mapping needs unsafe code.

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
    /// The directory for the blocks. Its file system is measured.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// The number of blocks of 1 MiB.
    #[arg(long, default_value_t = 256)]
    large: u64,
    /// The number of blocks of up to 8 KiB.
    #[arg(long, default_value_t = 8_192)]
    small: u64,
    /// The most descriptors that the layout with files kept open may hold.
    #[arg(long, default_value_t = 512)]
    descriptors: usize,
    /// How often each layout is measured; the best round counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// The file to write the figures to as JSON. A relative path starts at the workspace's folder.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The flag that Cargo passes to every bench.
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
        "microseconds per operation, and the ratio to the first layout; best of {} rounds, in {}",
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
        // The layouts take turns, so that other load on the machine affects all alike.
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
    // Cargo runs a bench in the folder of its package.
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
