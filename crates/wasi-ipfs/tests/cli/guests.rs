//! Preview 1 guests in WebAssembly text. Each does one thing, with no library between it and the calls.

/// Exits with a status.
pub(crate) fn exit(status: u32) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const {status}))))"#
    )
}

/// Returns without an error.
pub(crate) const RETURN: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "_start")))"#;

/// Traps.
pub(crate) const TRAP: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "_start") unreachable))"#;

/// A library: it has no start function.
pub(crate) const LIBRARY: &str = r#"(module (memory (export "memory") 1))"#;

/// A program of preview 0.
pub(crate) const PREVIEW_0: &str = r#"(module
    (import "wasi_unstable" "fd_close" (func (param i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")))"#;

/// A program that wants more of its host than WASI.
pub(crate) const OTHER_IMPORT: &str = r#"(module
    (import "env" "sin" (func (param f64) (result f64)))
    (memory (export "memory") 1)
    (func (export "_start")))"#;

/// Prints "ready", then waits for standard input, which never comes.
pub(crate) const WAIT: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "ready")
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 5))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))))"#;

/// Prints "ready", then computes for ever.
pub(crate) const SPIN: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "ready")
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 5))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
        (loop (br 0))))"#;

/// Prints its arguments and then its environment, each ended by a NUL.
pub(crate) const TELL: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_size (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_size (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func $print
        (i32.store (i32.const 16) (i32.const 8192))
        (i32.store (i32.const 20) (i32.load (i32.const 4)))
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 32))))
    (func (export "_start")
        (drop (call $args_size (i32.const 0) (i32.const 4)))
        (drop (call $args (i32.const 1024) (i32.const 8192)))
        (call $print)
        (drop (call $env_size (i32.const 0) (i32.const 4)))
        (drop (call $env (i32.const 1024) (i32.const 8192)))
        (call $print)))"#;

/// Prints the file that its first argument names below the first preopened directory. Exits with the errno of the call
/// that failed: 44 is NOENT, 29 is IO.
pub(crate) const CAT: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 3)
    (func $check (param $errno i32)
        (if (local.get $errno) (then (call $exit (local.get $errno)))))
    (func $length (param $text i32) (result i32)
        (local $end i32)
        (local.set $end (local.get $text))
        (block $done
            (loop $next
                (br_if $done (i32.eqz (i32.load8_u (local.get $end))))
                (local.set $end (i32.add (local.get $end) (i32.const 1)))
                (br $next)))
        (i32.sub (local.get $end) (local.get $text)))
    (func (export "_start")
        (call $check (call $args (i32.const 1024) (i32.const 8192)))
        (call $check (call $open
            (i32.const 3) (i32.const 1)
            (i32.load (i32.const 1028)) (call $length (i32.load (i32.const 1028)))
            (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 36)))
        (loop $more
            (i32.store (i32.const 16) (i32.const 65536))
            (i32.store (i32.const 20) (i32.const 65536))
            (call $check (call $read (i32.load (i32.const 36)) (i32.const 16) (i32.const 1) (i32.const 32)))
            (if (i32.load (i32.const 32))
                (then
                    (i32.store (i32.const 20) (i32.load (i32.const 32)))
                    (call $check (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 40)))
                    (if (i32.ne (i32.load (i32.const 40)) (i32.load (i32.const 32))) (then unreachable))
                    (br $more))))))"#;

/// A preview 2 component in text, whose `run` returns an error.
pub(crate) const FAILING_COMPONENT: &str = r#"(component
    (core module $m (func (export "run") (result i32) i32.const 1))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $exported (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $exported)))"#;

/// Sleeps for an hour, in one host call.
pub(crate) const SLEEP: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        ;; One subscription, to the monotonic clock.
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;

/// Grows its memory by 4 MiB. Exits with 0 if it could, and with 7 if not.
pub(crate) const GROW: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (if (i32.eq (memory.grow (i32.const 64)) (i32.const -1))
            (then (call $exit (i32.const 7))))))"#;

/// Creates the file `made` in the first preopened directory. Exits with the errno: 63 is PERM.
pub(crate) const CREATE: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "made")
    (func (export "_start")
        (call $exit (call $open
            (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4)
            (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 32)))))"#;

/// A preview 2 component in text, whose `run` succeeds.
pub(crate) fn component() -> String {
    FAILING_COMPONENT.replace("i32.const 1", "i32.const 0")
}
