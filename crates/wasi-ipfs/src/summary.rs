//! The report that `--stats` prints at the end.

use pinset::Stats;

use crate::{
    record::{Figures, Record},
    source::Total,
    units::show_size,
};

/// The lines of `--stats`. A line is `name: figures`. The names and their order are stable.
pub(crate) struct Summary<'a>(pub(crate) &'a Stats, pub(crate) Option<Total>);

impl Summary<'_> {
    /// The same as a record.
    pub(crate) fn record(&self) -> Record<'static> {
        let Self(stats, total) = self;
        Record::Stats(Figures {
            blocks_fetched: stats.blocks_fetched,
            bytes_fetched: stats.bytes_fetched,
            source_blocks: total.map(|total| total.blocks),
            source_bytes: total.map(|total| total.bytes),
            blocks_staged: stats.blocks_staged,
            bytes_staged: stats.bytes_staged,
            budget_bytes: stats.budget_bytes,
            evictions: stats.evictions,
            unstaged_blocks: stats.unstaged_blocks,
            bytes_served: stats.bytes_served,
            hits: stats.hits,
            misses: stats.misses,
            read_ahead_blocks: stats.read_ahead_blocks,
            pins_held: stats.pins_held,
            pins_dropped: stats.pins_dropped,
            pin_failures: stats.pin_failures,
            pins_unreleased: stats.pins_unreleased,
            blocks_reverified: stats.blocks_reverified,
            blocks_rotten: stats.blocks_rotten,
            fetch_failures: stats.fetch_failures,
            corrupt_blocks: stats.corrupt_blocks,
        })
    }
}

impl std::fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(stats, total) = self;
        let size = show_size;
        match total {
            Some(total) => writeln!(
                f,
                "fetched: {} of {} blocks, {} of {} bytes ({} of {})",
                stats.blocks_fetched,
                total.blocks,
                stats.bytes_fetched,
                total.bytes,
                size(stats.bytes_fetched),
                size(total.bytes),
            )?,
            None => writeln!(
                f,
                "fetched: {} blocks, {} bytes ({})",
                stats.blocks_fetched,
                stats.bytes_fetched,
                size(stats.bytes_fetched),
            )?,
        }
        writeln!(
            f,
            "staged: {} blocks, {} of {} bytes ({} of {}); {} evicted, {} passed by",
            stats.blocks_staged,
            stats.bytes_staged,
            stats.budget_bytes,
            size(stats.bytes_staged),
            size(stats.budget_bytes),
            stats.evictions,
            stats.unstaged_blocks,
        )?;
        writeln!(
            f,
            "served: {} bytes ({}); {} hits, {} misses, {} blocks read ahead",
            stats.bytes_served,
            size(stats.bytes_served),
            stats.hits,
            stats.misses,
            stats.read_ahead_blocks,
        )?;
        writeln!(
            f,
            "pins: {} held, {} dropped, {} failed, {} not released",
            stats.pins_held, stats.pins_dropped, stats.pin_failures, stats.pins_unreleased,
        )?;
        writeln!(
            f,
            "kept from earlier runs: {} blocks verified and used, {} wrong",
            stats.blocks_reverified, stats.blocks_rotten,
        )?;
        writeln!(
            f,
            "failures: {} fetches, {} corrupt blocks",
            stats.fetch_failures, stats.corrupt_blocks,
        )
    }
}
