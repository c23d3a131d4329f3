//! The [`Stats`], published through the [`metrics`] facade to any exporter that the host has installed.
//!
//! ```no_run
//! # async fn f(cache: pinset::CacheMode) {
//! // Once a recorder is installed (`metrics-exporter-prometheus`, for one):
//! let metrics = cache.metrics(&[("pinset", "shared")]);
//! tokio::spawn(metrics.publish_every(std::time::Duration::from_secs(5)));
//! # }
//! ```
//!
//! The pinset's own counters are authoritative, and no read touches the facade. Each [`publish`](Metrics::publish) adds
//! the difference since the last one, so that the counters and gauges of pinsets with the same labels (for example of a
//! thousand isolated guests) add up. A pinset that is gone has subtracted its gauges.
//!
//! | name | kind | unit | meaning |
//! |---|---|---|---|
//! | `pinset_budget_bytes` | gauge | bytes | the budget |
//! | `pinset_staged_bytes` | gauge | bytes | the part of the budget that staging takes |
//! | `pinset_staged_blocks` | gauge | blocks | staged blocks |
//! | `pinset_in_use_bytes` | gauge | bytes | staged blocks that were read ahead and are not consumed yet |
//! | `pinset_reserved_bytes` | gauge | bytes | memory reserved for blocks in flight |
//! | `pinset_replacement_p_bytes` | gauge | bytes | ARC's target for blocks that were used once |
//! | `pinset_pins` | gauge | pins | pins on the backend |
//! | `pinset_pins_unreleased` | gauge | pins | pins whose release has not succeeded yet |
//! | `pinset_served_bytes_total` | counter | bytes | bytes of files returned to readers |
//! | `pinset_fetched_blocks_total` | counter | blocks | blocks that the backend returned |
//! | `pinset_fetched_bytes_total` | counter | bytes | their bytes |
//! | `pinset_verified_bytes_total` | counter | bytes | the bytes of those blocks that hash to their CID |
//! | `pinset_hits_total` | counter | uses | uses of staged blocks, except each block's first use |
//! | `pinset_hit_bytes_total` | counter | bytes | the bytes of the blocks of these uses |
//! | `pinset_misses_total` | counter | blocks | blocks that had to be fetched |
//! | `pinset_ghost_hits_total` | counter | blocks | blocks that came back soon after they were replaced; `list` = `recent`, `frequent` |
//! | `pinset_read_ahead_blocks_total` | counter | blocks | blocks asked for ahead of a reader |
//! | `pinset_evictions_total` | counter | blocks | blocks evicted to make room for others |
//! | `pinset_unstaged_blocks_total` | counter | blocks | blocks served from memory for lack of room |
//! | `pinset_staging_failures_total` | counter | blocks | blocks that could not be written to the disk |
//! | `pinset_fetch_failures_total` | counter | fetches | failed fetches; `kind` = `not_found`, `unavailable`, `rate_limited`, `timed_out`, `denied`, `corrupt`, `other` |
//! | `pinset_corrupt_blocks_total` | counter | blocks | blocks that did not hash to their CID |
//! | `pinset_reverified_blocks_total` | counter | blocks | blocks of an earlier run or another process, verified at their first use |
//! | `pinset_rotten_blocks_total` | counter | blocks | those of them that were damaged: the sign of a failing disk |
//! | `pinset_pins_dropped_total` | counter | pins | lazy pins not made for lack of room |
//! | `pinset_pin_failures_total` | counter | pins | pins that could not be made or released |
//! | `pinset_block_fetch_seconds` | histogram | seconds | the backend's time for one block, including failures; recorded at once, without the labels of [`CacheMode::metrics`](crate::CacheMode::metrics) |
//! | `pinset_block_queue_seconds` | histogram | seconds | the time that a fetch waited for its turn; as the one above |
//! | `pinset_queue_timeouts_total` | counter | fetches | fetches that got no turn before their deadline |
//!
//! Names and meanings are kept from release to release.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use metrics::{Counter, Gauge, IntoLabels, Label, Unit};

use crate::{
    fetch::{
        counters::{FETCH_SECONDS, FETCH_SECONDS_IS, QUEUE_SECONDS, QUEUE_SECONDS_IS},
        engine::Engine,
    },
    host::stats::Stats,
};

/// Publishes the [`Stats`] of one pinset, without keeping it alive. Dropping it subtracts the gauges.
pub struct Metrics {
    engine: Weak<Engine>,
    counters: Vec<(Counter, Figure)>,
    gauges: Vec<(Gauge, Figure)>,
    published: Stats,
}

/// One figure of the stats.
type Figure = fn(&Stats) -> u64;

impl Metrics {
    /// Registers every name with the recorder that is installed now.
    pub(crate) fn new(engine: &Arc<Engine>, labels: impl IntoLabels) -> Self {
        let labels = labels.into_labels();
        let counters = COUNTERS.iter().map(|(name, label, unit, what, figure)| {
            metrics::describe_counter!(*name, *unit, *what);
            let mut labels = labels.clone();
            labels.extend(label.map(|(key, value)| Label::from_static_parts(key, value)));
            (metrics::counter!(*name, labels), *figure)
        });
        let gauges = GAUGES.iter().map(|(name, unit, what, figure)| {
            metrics::describe_gauge!(*name, *unit, *what);
            (metrics::gauge!(*name, labels.clone()), *figure)
        });
        metrics::describe_histogram!(FETCH_SECONDS, Unit::Seconds, FETCH_SECONDS_IS);
        metrics::describe_histogram!(QUEUE_SECONDS, Unit::Seconds, QUEUE_SECONDS_IS);
        Self {
            engine: Arc::downgrade(engine),
            counters: counters.collect(),
            gauges: gauges.collect(),
            published: Stats::default(),
        }
    }

    /// Publishes the difference since the last call. Returns whether the pinset still exists; if not, nothing more will
    /// come.
    ///
    /// A call takes some microseconds.
    pub fn publish(&mut self) -> bool {
        let engine = self.engine.upgrade();
        if let Some(engine) = &engine {
            self.advance(Stats::of(engine));
        }
        engine.is_some()
    }

    /// Publishes again and again, until the pinset is gone.
    ///
    /// Dropping the future ends it at once.
    pub async fn publish_every(mut self, period: Duration) {
        while self.publish() {
            tokio::time::sleep(period).await;
        }
    }

    fn advance(&mut self, now: Stats) {
        let before = std::mem::replace(&mut self.published, now);
        for (counter, figure) in &self.counters {
            // Closing a pinset resets some counters.
            counter.increment(figure(&now).saturating_sub(figure(&before)));
        }
        for (gauge, figure) in &self.gauges {
            // The figures are integers far below 2^53, so the sum of all differences is exact.
            gauge.increment(figure(&now) as f64 - figure(&before) as f64);
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        for (gauge, figure) in &self.gauges {
            gauge.decrement(figure(&self.published) as f64);
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

/// Name, unit, meaning, figure.
const GAUGES: [(&str, Unit, &str, Figure); 8] = [
    ("pinset_budget_bytes", Unit::Bytes, "The budget", |s| {
        s.budget_bytes
    }),
    (
        "pinset_staged_bytes",
        Unit::Bytes,
        "The part of the budget that staging takes",
        |s| s.bytes_staged,
    ),
    ("pinset_staged_blocks", Unit::Count, "Staged blocks", |s| {
        s.blocks_staged
    }),
    (
        "pinset_in_use_bytes",
        Unit::Bytes,
        "Staged blocks that were read ahead and are not consumed yet",
        |s| s.bytes_in_use,
    ),
    (
        "pinset_reserved_bytes",
        Unit::Bytes,
        "Memory reserved for blocks in flight",
        |s| s.bytes_reserved,
    ),
    (
        "pinset_replacement_p_bytes",
        Unit::Bytes,
        "ARC's target for blocks that were used once",
        |s| s.p_bytes,
    ),
    ("pinset_pins", Unit::Count, "Pins on the backend", |s| {
        s.pins_held
    }),
    (
        "pinset_pins_unreleased",
        Unit::Count,
        "Pins whose release has not succeeded yet",
        |s| s.pins_unreleased,
    ),
];

/// Name, label, unit, meaning, figure.
#[allow(clippy::type_complexity, reason = "a table is plainest as one")]
const COUNTERS: [(&str, Option<(&str, &str)>, Unit, &str, Figure); 26] = [
    (
        "pinset_served_bytes_total",
        None,
        Unit::Bytes,
        "Bytes of files returned to readers",
        |s| s.bytes_served,
    ),
    (
        "pinset_fetched_blocks_total",
        None,
        Unit::Count,
        "Blocks that the backend returned",
        |s| s.blocks_fetched,
    ),
    (
        "pinset_fetched_bytes_total",
        None,
        Unit::Bytes,
        "Bytes of blocks that the backend returned",
        |s| s.bytes_fetched,
    ),
    (
        "pinset_verified_bytes_total",
        None,
        Unit::Bytes,
        "Bytes of blocks that hash to their CID",
        |s| s.bytes_verified,
    ),
    (
        "pinset_hits_total",
        None,
        Unit::Count,
        "Uses of staged blocks, except each block's first use",
        |s| s.hits,
    ),
    (
        "pinset_hit_bytes_total",
        None,
        Unit::Bytes,
        "Bytes of the blocks of these uses",
        |s| s.hit_bytes,
    ),
    (
        "pinset_misses_total",
        None,
        Unit::Count,
        "Blocks that had to be fetched",
        |s| s.misses,
    ),
    (
        "pinset_ghost_hits_total",
        Some(("list", "recent")),
        Unit::Count,
        "Blocks that came back soon after they were replaced",
        |s| s.recent_ghost_hits,
    ),
    (
        "pinset_ghost_hits_total",
        Some(("list", "frequent")),
        Unit::Count,
        "Blocks that came back soon after they were replaced",
        |s| s.frequent_ghost_hits,
    ),
    (
        "pinset_read_ahead_blocks_total",
        None,
        Unit::Count,
        "Blocks asked for ahead of a reader",
        |s| s.read_ahead_blocks,
    ),
    (
        "pinset_evictions_total",
        None,
        Unit::Count,
        "Blocks evicted to make room for others",
        |s| s.evictions,
    ),
    (
        "pinset_unstaged_blocks_total",
        None,
        Unit::Count,
        "Blocks served from memory for lack of room",
        |s| s.unstaged_blocks,
    ),
    (
        "pinset_staging_failures_total",
        None,
        Unit::Count,
        "Blocks that could not be written to the disk",
        |s| s.staging_failures,
    ),
    (
        "pinset_fetch_failures_total",
        Some(("kind", "not_found")),
        Unit::Count,
        "Failed fetches",
        |s| s.fetch_failures_by_kind.not_found,
    ),
    (
        "pinset_fetch_failures_total",
        Some(("kind", "unavailable")),
        Unit::Count,
        "Failed fetches",
        |s| s.fetch_failures_by_kind.unavailable,
    ),
    (
        "pinset_fetch_failures_total",
        Some(("kind", "rate_limited")),
        Unit::Count,
        "Failed fetches",
        |s| s.fetch_failures_by_kind.rate_limited,
    ),
    (
        "pinset_fetch_failures_total",
        Some(("kind", "timed_out")),
        Unit::Count,
        "Failed fetches",
        |s| s.fetch_failures_by_kind.timed_out,
    ),
    (
        "pinset_fetch_failures_total",
        Some(("kind", "denied")),
        Unit::Count,
        "Failed fetches",
        |s| s.fetch_failures_by_kind.denied,
    ),
    (
        "pinset_fetch_failures_total",
        Some(("kind", "corrupt")),
        Unit::Count,
        "Failed fetches",
        |s| s.fetch_failures_by_kind.corrupt,
    ),
    (
        "pinset_fetch_failures_total",
        Some(("kind", "other")),
        Unit::Count,
        "Failed fetches",
        |s| s.fetch_failures_by_kind.other,
    ),
    (
        "pinset_corrupt_blocks_total",
        None,
        Unit::Count,
        "Blocks that did not hash to their CID",
        |s| s.corrupt_blocks,
    ),
    (
        "pinset_reverified_blocks_total",
        None,
        Unit::Count,
        "Blocks of an earlier run or another process that were verified at their first use",
        |s| s.blocks_reverified,
    ),
    (
        "pinset_rotten_blocks_total",
        None,
        Unit::Count,
        "Those of them that were damaged",
        |s| s.blocks_rotten,
    ),
    (
        "pinset_queue_timeouts_total",
        None,
        Unit::Count,
        "Fetches that got no turn before their deadline",
        |s| s.queue_timeouts,
    ),
    (
        "pinset_pins_dropped_total",
        None,
        Unit::Count,
        "Lazy pins not made for lack of room",
        |s| s.pins_dropped,
    ),
    (
        "pinset_pin_failures_total",
        None,
        Unit::Count,
        "Pins that could not be made or released",
        |s| s.pin_failures,
    ),
];
