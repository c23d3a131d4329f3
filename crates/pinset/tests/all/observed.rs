//! The operator's view: the figures through the facade `metrics`, the spans of `tracing`, and the `Debug` output of
//! open things in logs.

use futures_util::TryStreamExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use pinner_api::PinnerError;
use pinner_car::Profile;
use pinner_mock::{Fault, MockNode, When};
use pinset::{Access, Limits, Node, Symlinks, metrics::Metrics};
use test_support::{
    balanced,
    content::{MIB, add, add_file, stream},
    until,
};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

use crate::{host::Host, pinsets::ipfs, pinsets::read_all};

const BUDGET: u64 = 16 << 20;

/// The values recorded so far.
struct Recorded {
    recorder: Snapshotter,
    /// By name and labels: the kind of metric, and the value.
    values: BTreeMap<String, (&'static str, i64)>,
}

impl Recorded {
    /// Takes a snapshot of the recorder. A snapshot resets the recorder, so the values are added up here.
    fn look(&mut self) -> &BTreeMap<String, (&'static str, i64)> {
        for (key, _, help, value) in self.recorder.snapshot().into_vec() {
            let labels = key.key().labels();
            let labels: Vec<_> = labels
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            let name = format!("{}{{{}}}", key.key().name(), labels.join(","));
            assert!(help.is_some_and(|help| !help.is_empty()), "{name}");
            let (kind, value) = match value {
                DebugValue::Counter(value) => ("counter", value as i64),
                DebugValue::Gauge(value) => ("gauge", value.0 as i64),
                DebugValue::Histogram(values) => ("histogram", values.len() as i64),
            };
            self.values.entry(name).or_insert((kind, 0)).1 += value;
        }
        &self.values
    }

    fn value(&mut self, name: &str) -> u64 {
        self.look()[name].1 as u64
    }
}

/// The names and kinds that the documentation promises.
fn promised() -> BTreeSet<(String, String)> {
    let rows = include_str!("../../src/host/metrics.rs").lines();
    rows.filter_map(|line| line.strip_prefix("//! | `pinset_"))
        .map(|row| {
            let mut cells = row.split(" | ");
            let name = cells.next().unwrap().trim_end_matches('`');
            (format!("pinset_{name}"), cells.next().unwrap().to_owned())
        })
        .collect()
}

/// Runs `work` with a recorder of its own.
fn recorded(work: impl AsyncFnOnce(Recorded)) {
    let recorder = DebuggingRecorder::new();
    let recorded = Recorded {
        recorder: recorder.snapshotter(),
        values: BTreeMap::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    metrics::with_local_recorder(&recorder, || runtime.unwrap().block_on(work(recorded)));
}

#[test]
fn every_promised_name_is_published_and_no_other() {
    recorded(async |mut recorded| {
        let node = MockNode::new();
        let cid = add_file(&node, &stream(3 * MIB), Profile::default());
        let host = Host::new(&node, BUDGET).await;
        let mut metrics = host.mode.metrics(&[("pinset", "one")]);
        host.read(&format!("/ipfs/{cid}")).await;
        assert!(metrics.publish());
        assert!(format!("{metrics:?}").contains("bytes_served: 3145728"));
        let names = recorded.look().iter();
        let published: BTreeSet<_> = names
            .map(|(name, (kind, _))| {
                let (name, _) = name.split_once('{').unwrap();
                (name.to_owned(), (*kind).to_owned())
            })
            .collect();
        assert_eq!(published, promised());
    });
}

#[test]
fn what_is_published_is_what_the_stats_say() {
    recorded(async |mut recorded| {
        let node = MockNode::new();
        let bytes = stream(9 * MIB);
        let cid = add_file(&node, &bytes, Profile::default());
        let host = Host::new(&node, BUDGET).await;
        let mut metrics = host.mode.metrics(&[("pinset", "one")]);
        let path = format!("/ipfs/{cid}");
        host.read(&path).await;
        assert!(metrics.publish());
        recorded.look();
        host.read(&path).await;
        assert!(metrics.publish());
        let stats = host.mode.stats();
        assert_eq!(stats.blocks_fetched, node.len() as u64);
        assert_eq!(stats.misses, stats.blocks_fetched);
        assert_eq!(stats.bytes_verified, stats.bytes_fetched);
        assert_eq!(stats.bytes_served, 2 * bytes.len() as u64);
        // The second time each of the nine leaves was a hit, and the root was one each time a descent went through it.
        assert!(
            stats.hits >= 9 && stats.hit_bytes >= 9 * MIB as u64,
            "{stats:?}"
        );
        assert!(stats.hit_rate().unwrap() >= 0.47, "{stats:?}");
        assert!(stats.byte_hit_rate().unwrap() >= 0.47, "{stats:?}");
        for (name, figure) in [
            ("pinset_budget_bytes", BUDGET),
            ("pinset_staged_bytes", stats.bytes_staged),
            ("pinset_staged_blocks", stats.blocks_staged),
            ("pinset_served_bytes_total", stats.bytes_served),
            ("pinset_fetched_blocks_total", stats.blocks_fetched),
            ("pinset_fetched_bytes_total", stats.bytes_fetched),
            ("pinset_verified_bytes_total", stats.bytes_verified),
            ("pinset_hits_total", stats.hits),
            ("pinset_hit_bytes_total", stats.hit_bytes),
            ("pinset_misses_total", stats.misses),
            ("pinset_read_ahead_blocks_total", stats.read_ahead_blocks),
        ] {
            let value = recorded.value(&format!("{name}{{pinset=one}}"));
            assert_eq!(value, figure, "{name}");
        }
        let fetches = recorded.value("pinset_block_fetch_seconds{}");
        assert_eq!(fetches, stats.blocks_fetched);

        // Gauges go back to zero; counters stay.
        host.mode.close().await.unwrap();
        until("the end of what was ahead", || {
            host.mode.stats().bytes_staged == 0
        })
        .await;
        assert!(metrics.publish());
        assert_eq!(recorded.value("pinset_staged_bytes{pinset=one}"), 0);
        let hits = recorded.value("pinset_hits_total{pinset=one}");
        assert_eq!(hits, stats.hits);
    });
}

#[test]
fn pinsets_add_up_and_take_back_what_they_held() {
    recorded(async |mut recorded| {
        let node = MockNode::new();
        let hosts = [
            Host::new(&node, BUDGET).await,
            Host::new(&node, BUDGET).await,
        ];
        let mut metrics = hosts
            .each_ref()
            .map(|host| host.mode.metrics(&[("a", "b")]));
        let mut budget = |metrics: &mut [Metrics]| {
            for metrics in metrics {
                metrics.publish();
            }
            recorded.value("pinset_budget_bytes{a=b}")
        };
        assert_eq!(budget(&mut metrics), 2 * BUDGET);
        assert_eq!(budget(&mut metrics), 2 * BUDGET);
        let [one, mut two] = metrics;
        drop(one);
        assert_eq!(budget(std::slice::from_mut(&mut two)), BUDGET);
        // The publishing task does not keep the pinset alive, and ends with it.
        let ended = tokio::spawn(two.publish_every(Duration::from_millis(1)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!ended.is_finished());
        drop(hosts);
        ended.await.unwrap();
        assert_eq!(budget(&mut []), 0);
    });
}

#[tokio::test]
async fn failures_are_told_apart() {
    let node = MockNode::new();
    let host = Host::with(
        &node,
        |pinset| pinset.block_deadline(Duration::from_millis(50)),
        BUDGET,
    )
    .await;
    let operation = || "block".to_owned();
    let faults = [
        Fault::Missing,
        Fault::Error(PinnerError::Unavailable {
            operation: operation(),
            source: None,
        }),
        Fault::Error(PinnerError::RateLimited {
            operation: operation(),
            retry_after: None,
        }),
        Fault::Hang,
        Fault::Error(PinnerError::Denied {
            operation: operation(),
            reason: String::new(),
        }),
        Fault::Oversize(pinner_mock::Oversize::HandedOut),
        Fault::Error(PinnerError::Unsupported { operation: "it" }),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let cid = node.put(0x55, format!("{n}"));
        node.script(When::block(&cid), fault);
        assert!(
            host.mode
                .open(&ipfs(&format!("/ipfs/{cid}")))
                .await
                .is_err()
        );
        let wrong = node.put(0x55, format!("wrong {n}"));
        node.script(When::block(&wrong), Fault::WrongBytes);
        assert!(
            host.mode
                .open(&ipfs(&format!("/ipfs/{wrong}")))
                .await
                .is_err()
        );
    }
    let stats = host.mode.stats();
    let by_kind = stats.fetch_failures_by_kind;
    let counts = [
        by_kind.not_found,
        by_kind.unavailable,
        by_kind.rate_limited,
        by_kind.timed_out,
        by_kind.denied,
        by_kind.corrupt,
        by_kind.other,
    ];
    assert_eq!(counts, [1; 7]);
    assert_eq!(stats.fetch_failures, 7);
    assert_eq!(stats.corrupt_blocks, 7);
    assert!(stats.bytes_fetched > 0 && stats.bytes_verified == 0);
    assert_eq!(stats.hit_rate(), Some(0.0));
    assert_eq!(stats.byte_hit_rate(), None);
}

#[tokio::test]
async fn what_comes_back_after_it_was_replaced_is_a_ghost_hit() {
    let node = MockNode::new();
    let twice = add_file(&node, &stream(8 * MIB), Profile::default());
    let once = add_file(&node, &stream(10 * MIB), Profile::default());
    let host = Host::new(&node, BUDGET).await;
    let path = format!("/ipfs/{twice}");
    host.read(&path).await;
    host.read(&path).await;
    // The first leaves of this file are pushed out by its last ones, and remembered.
    let once = host.file(&format!("/ipfs/{once}")).await;
    read_all(&once).await.unwrap();
    assert_eq!(host.mode.stats().recent_ghost_hits, 0);
    once.read_at(0, 10).await.unwrap();
    once.read_at(0, 10).await.unwrap();
    let stats = host.mode.stats();
    assert!(stats.recent_ghost_hits > 0, "{stats:?}");
    assert!(stats.p_bytes > 0 && stats.p_bytes <= stats.budget_bytes);
    assert!(stats.bytes_in_use <= stats.budget_bytes / 2);
}

/// The buffer that a subscriber writes to.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn spans_tell_what_was_done_to_what_and_how_it_ended() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let node = MockNode::new();
    let file = balanced::file(&node, 2 * MIB, MIB);
    let absent = cid::Cid::new_v1(0x70, *file.root.hash());
    let host = Host::new(&node, BUDGET).await;
    let path = format!("/ipfs/{}", file.root);
    host.mode.prefetch(&ipfs(&path), &()).await.unwrap();
    let open = host.file(&path).await;
    until("the pin", || host.mode.stats().pins_held == 1).await;
    host.mode.ensure(&file.root).await.unwrap();
    drop(open);
    host.mode.close().await.unwrap();
    let fresh = Host::new(&node, BUDGET).await;
    node.script(When::block(&absent).first(1), Fault::Missing);
    fresh.mode.open(&ipfs(&path)).await.unwrap_err();
    node.script(When::block(&absent).nth(1), Fault::WrongBytes);
    fresh.mode.open(&ipfs(&path)).await.unwrap_err();

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let root = file.root;
    for span in [
        format!(
            "fetch{{cid={} bytes={MIB} outcome=\"staged\"}}",
            file.leaves[0]
        ),
        format!("fetch{{cid={root} outcome=\"not_found\"}}"),
        "outcome=\"not verified\"}".to_owned(),
        format!("open{{path=\"{root}\"}}"),
        format!("prefetch{{cid={root} blocks=3 bytes="),
        format!("pin{{cid={root} depth=\"lazy\"}}"),
        format!("pin{{cid={root} depth=\"recursive\"}}"),
        format!("release{{cid={root}}}"),
    ] {
        let closed = text
            .lines()
            .any(|line| line.contains(&span) && line.contains("close"));
        assert!(closed, "{span} in:\n{text}");
    }
}

/// The `Debug` output in logs is short, and tells which thing it is.
#[tokio::test]
async fn all_that_is_open_can_be_shown() {
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("large"), stream(3 * MIB)).unwrap();
    std::os::unix::fs::symlink("large", dir.path().join("link")).unwrap();
    let root = add(&node, dir.path(), Profile::default());
    let host = Host::new(&node, 8 << 20).await;
    let session = host.mode.session(Access::roots([root]), Limits::default());
    let base = session.root().unwrap();
    let file = host.file(&format!("/ipfs/{root}/large")).await;
    file.read_at(0, 10).await.unwrap();
    let path = format!("{root}/link");
    let link = session.open_at(&base, &path, Symlinks::NoFollow).await;
    let link = link.unwrap();
    let Node::Dir(root_dir) = session.open(&ipfs(&format!("/ipfs/{root}"))).await.unwrap() else {
        panic!("no directory");
    };
    let mut entries = root_dir.entries().unwrap();
    let mut shown = vec![format!("{entries:?}")];
    while entries.try_next().await.unwrap().is_some() {
        shown.push(format!("{entries:?}"));
    }
    shown.push(format!("{entries:?}"));
    let mut roots = base.entries().unwrap();
    roots.try_next().await.unwrap();
    shown.extend([
        format!("{roots:?}"),
        format!("{session:?}"),
        format!("{base:?}"),
        format!("{file:?}"),
        format!("{link:?}"),
        format!("{root_dir:?}"),
        format!("{:?}", host.mode),
    ]);
    for text in shown {
        assert!(text.len() < 2000, "{text}");
    }
    let Node::Symlink(symlink) = &link else {
        panic!("no symlink");
    };
    assert_eq!(symlink.identity(), link.identity());
    assert_ne!(link.identity(), Node::File(file).identity());
}
