//! A preview 1 module whose first `malloc` takes all memory it finds, as wasi-libc's did before 2023. It does not
//! overwrite the adapter's memory, because `load` lets the adapter call that `malloc` first.

use std::fs;

use tempfile::TempDir;
use wasi_ipfs_tests::{End, Outcome, Program, Run};

/// Calls WASI, takes and fills all remaining memory, and calls WASI again. The adapter's data in that memory is lost,
/// unless the adapter had allocated it before.
fn greedy(producers: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
            (memory (export "memory") 8)
            (global $next (mut i32) (i32.const 4096))
            (global $end (mut i32) (i32.const 0))
            (func $malloc (param $size i32) (result i32)
                (local $at i32)
                (if (i32.eqz (global.get $end))
                    (then (global.set $end (i32.shl (memory.size) (i32.const 16)))))
                (local.set $at (global.get $next))
                (global.set $next (i32.and
                    (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 15))
                    (i32.const -16)))
                (if (i32.gt_u (global.get $next) (global.get $end)) (then (unreachable)))
                (local.get $at))
            (func (export "_start")
                (local $left i32)
                (drop (call $args (i32.const 0) (i32.const 8)))
                (drop (call $malloc (i32.const 16)))
                (local.set $left (i32.sub (global.get $end) (global.get $next)))
                (memory.fill (call $malloc (local.get $left)) (i32.const 0xff) (local.get $left))
                (drop (call $args (i32.const 0) (i32.const 8))))
            {producers})"#
    )
}

async fn run(module: &str) -> Outcome {
    let folder = TempDir::new().expect("a temporary directory");
    let file = folder.path().join("greedy.wasm");
    fs::write(&file, wat::parse_str(module).expect("the test's own text")).expect("a file");
    Run::new(["greedy"])
        .program(&Program::from_file(&file))
        .await
}

#[tokio::test]
async fn the_adapter_is_not_overwritten() {
    // The section as clang 14 writes it.
    let clang = r#"(@custom "producers" "\01\0cprocessed-by\01\05clang\0614.0.6")"#;
    let outcome = run(&greedy(clang)).await;
    assert_eq!(outcome.end, End::Exit(0), "{}", outcome.stderr);
}

/// Without this, the test above would prove nothing.
#[tokio::test]
async fn it_would_be() {
    let outcome = run(&greedy("")).await;
    assert!(matches!(outcome.end, End::Trap(_)), "{:?}", outcome.end);
}
