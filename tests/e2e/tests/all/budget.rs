//! Reads a file much larger than the budget and than the memory that the process may take (I2, I9).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use pinner_mock::{MockNode, Recording};
use pinset::{Access, CacheMode, PinsetBuilder};
use test_support::{
    file_system::{on_own, used_bytes},
    memory::peak_bytes,
};
use wasi_ipfs_fs::IpfsCtx;
use wasi_ipfs_tests::{Large, Preview, Run, guests};

const BUDGET: u64 = 32 << 20;
const LEAVES: u64 = 1024;

async fn read(mode: CacheMode, file: &Large, preview: Preview) -> CacheMode {
    let ctx = IpfsCtx::builder(mode.clone(), Access::roots([file.root]));
    let ctx = ctx.build().await.unwrap();
    let path = format!("/ipfs/{}", file.root);
    let run = Run::new(["bench", "seq", &path, "65536"]).ipfs(ctx);
    let outcome = run.program(&guests::BENCH.program(preview)).await;
    let line = outcome.success().to_owned();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[..3], ["BENCH", "seq", &file.len().to_string()]);
    // The guest's checksum over the first and the last byte of each chunk.
    let sum = (0..file.len() / 65536).fold(0_u64, |sum, chunk| {
        let leaf = chunk * 65536 / Large::LEAF as u64 + 1;
        let ends = [leaf & 0xff, leaf >> 56];
        sum.wrapping_mul(31)
            .wrapping_add(ends[0] | ends[1] << 8 | 65536 << 16)
    });
    assert_eq!(words[4], format!("{sum:016x}"));
    mode
}

#[test]
fn a_gigabyte_through_a_budget_of_32_mib() {
    let name = "budget::a_gigabyte_through_a_budget_of_32_mib";
    on_own(name, "tmpfs", "size=256m,mode=700", |dir| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let node = MockNode::builder().recording(Recording::Counters).build();
        let file = Large::make(&node, LEAVES);
        let pinset = PinsetBuilder::new(Arc::new(node), BUDGET).lock_dir(dir.join("lock"));
        let (most, samples) = runtime.block_on(async {
            let mut mode = pinset.shared().await.unwrap();
            // Compiles the guests, and takes all memory that is taken only once.
            let warm = Large::make(&MockNode::new(), 1);
            assert_eq!(warm.len(), Large::LEAF as u64);
            for preview in [Preview::One, Preview::Two] {
                guests::BENCH.program(preview);
            }
            let over = Arc::new(AtomicBool::new(false));
            let sampler = {
                let (over, dir) = (over.clone(), dir.to_owned());
                std::thread::spawn(move || {
                    let (mut most, mut samples) = (0, 0_u64);
                    while !over.load(Ordering::Relaxed) {
                        most = used_bytes(&dir).max(most);
                        samples += 1;
                    }
                    (most, samples)
                })
            };
            let before = peak_bytes().unwrap();
            for preview in [Preview::One, Preview::Two] {
                mode = read(mode, &file, preview).await;
            }
            let added = peak_bytes().unwrap() - before;
            over.store(true, Ordering::Relaxed);
            let stats = mode.stats();
            assert!(stats.evictions > LEAVES, "{stats:?}");
            // Each leaf is fetched once a run and no more: every block that was read ahead was used.
            assert!(stats.blocks_fetched <= 2 * LEAVES + 2, "{stats:?}");
            assert!(added < 32 << 20, "{added} bytes of memory more");
            println!("memory: {added} bytes more at the peak");
            mode.close().await.unwrap();
            sampler.join().unwrap()
        });
        println!("{most} bytes of {BUDGET} used at most, in {samples} samples");
        assert!(most <= BUDGET, "{most}");
        assert!(most > BUDGET / 2 && samples > 1000, "{most} {samples}");
    });
}
