//! The counters of a cache on a page for Prometheus, by way of the facade `metrics`: the feature `metrics`.
//!
//! A server would let the exporter listen. This example prints the page once.

use std::{ops::ControlFlow, sync::Arc};

use metrics_exporter_prometheus::PrometheusBuilder;
use pinner_car::{CarPinner, ImportOptions};
use pinset::{IpfsPath, PinsetBuilder};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    // The recorder comes first: `metrics` publishes to the one that is installed when it is called.
    let exporter = PrometheusBuilder::new().install_recorder()?;

    let folder = tempfile::tempdir()?;
    let (source, car) = (folder.path().join("data"), folder.path().join("data.car"));
    std::fs::write(&source, vec![1; 1 << 20])?;
    let go_on = |_| ControlFlow::Continue(());
    let root = pinner_car::import_to_car(&source, &car, &ImportOptions::default(), go_on)?.root;
    let cache = PinsetBuilder::new(Arc::new(CarPinner::open([&car]).await?), 16 << 20)
        .lock_dir(folder.path().join("cache"))
        .shared()
        .await?;

    // A server spawns `cache.metrics(…).publish_every(period)`. Here the counters are published once, by hand.
    let mut metrics = cache.metrics(&[("cache", "example")]);
    cache.prefetch(&IpfsPath::root(root), &()).await?;
    metrics.publish();
    print!("{}", exporter.render());
    cache.close().await?;
    Ok(())
}
