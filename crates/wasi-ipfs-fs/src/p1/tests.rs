//! Which bytes become a component, and which error the others get. The workspace's end-to-end tests run adapted guests.

use std::borrow::Cow;

use wasmparser::{Parser, Payload, Validator};

use super::{load::load, module::Module, realloc};
use crate::error::Error;

fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the test's own text")
}

/// A preview 1 command, with `more` inside the module.
fn command(more: &str) -> Vec<u8> {
    module(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            {more}
            (func (export "_start") (call $exit (i32.const 0))))"#
    ))
}

/// A `producers` section with one `processed-by`.
fn producers(name: &str, version: &str) -> String {
    let text = |text: &str| format!("{}{text}", char::from(text.len() as u8));
    format!(
        r#"(@custom "producers" "\01{}\01{}{}")"#,
        escaped(&text("processed-by")),
        escaped(&text(name)),
        escaped(&text(version))
    )
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:02x}")).collect()
}

const MALLOC: &str = "(func $malloc (param i32) (result i32) (i32.const 1024))";

#[test]
fn a_command_becomes_a_valid_component() {
    let bytes = command("");
    let component = load("guest.wasm", &bytes).expect("adapted");
    assert!(Parser::is_component(&component));
    Validator::new().validate_all(&component).expect("valid");
}

#[test]
fn a_component_is_taken_as_it_is() {
    let bytes = module("(component)");
    assert!(matches!(load("guest.wasm", &bytes), Ok(Cow::Borrowed(same)) if same == bytes));
}

#[test]
fn what_is_no_wasm_is_named() {
    let mut cut = command("");
    cut.truncate(30);
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\0asm", b"\0asm\x09\0\0\0", &cut] {
        let error = load("guest.wasm", bytes).expect_err("no wasm");
        assert!(matches!(error, Error::NotWasm { .. }), "{error}");
        assert!(error.to_string().contains("guest.wasm"), "{error}");
    }
}

#[test]
fn a_wrong_kind_of_module_is_named() {
    let library = module(r#"(module (memory (export "memory") 1))"#);
    let preview0 =
        module(r#"(module (import "wasi_unstable" "fd_close" (func (param i32) (result i32))))"#);
    for (bytes, lacks) in [(library, "_start"), (preview0, "wasi_unstable")] {
        let error = load("guest.wasm", &bytes).expect_err("wrong kind");
        assert!(matches!(error, Error::WrongKind { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("guest.wasm") && text.contains(lacks),
            "{text}"
        );
    }
}

#[test]
fn a_preview_1_function_that_is_none_is_an_error() {
    let bytes = module(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_teleport" (func))
            (memory (export "memory") 1)
            (func (export "_start")))"#,
    );
    let error = load("guest.wasm", &bytes).expect_err("no such function");
    assert!(matches!(error, Error::Adapt { .. }), "{error}");
    assert!(error.to_string().contains("fd_teleport"), "{error}");
}

/// The exports of a component's main module.
fn main_module_exports(component: &[u8]) -> Vec<String> {
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload.expect("valid") {
            Payload::ExportSection(section) if exports.is_empty() => {
                exports.extend(
                    section
                        .into_iter()
                        .map(|export| export.expect("valid").name.to_owned()),
                );
            }
            _ => {}
        }
    }
    exports
}

#[test]
fn an_old_allocator_is_called_by_the_adapter() {
    for compiler in ["clang", "Debian clang"] {
        let bytes = command(&format!("{MALLOC}{}", producers(compiler, "14.0.6")));
        let component = load("guest.wasm", &bytes).expect("adapted");
        Validator::new().validate_all(&component).expect("valid");
        let exports = main_module_exports(&component);
        assert!(
            exports.iter().any(|name| name == "cabi_realloc"),
            "{exports:?}"
        );
    }
}

/// More types and functions than one byte counts, and sections that say nothing about allocators.
#[test]
fn a_large_module_with_other_sections_is_adapted_as_well() {
    let types: String = (0..200)
        .map(|n| format!("(type (func (param {})))", "i32 ".repeat(n % 20)))
        .collect();
    let functions = "(func)".repeat(300);
    let producers = format!(
        r#"(@custom "producers" "\02{}\01{}{}{}\01{}{}")"#,
        escaped("\u{8}language"),
        escaped("\u{1}C"),
        escaped("\u{0}"),
        escaped("\u{c}processed-by"),
        escaped("\u{5}clang"),
        escaped("\u{6}14.0.6"),
    );
    let more =
        format!(r#"(type (struct)){types}{functions}{MALLOC}(@custom "dylink.0" ""){producers}"#);
    let bytes = command(&more);
    let component = load("guest.wasm", &bytes).expect("adapted");
    Validator::new().validate_all(&component).expect("valid");
    let exports = main_module_exports(&component);
    assert!(exports.iter().any(|name| name == "cabi_realloc"));
}

#[test]
fn only_an_old_allocator_is_changed() {
    let own =
        r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))"#;
    let modules = [
        command(&format!("{MALLOC}{}", producers("clang", "16.0.0"))),
        command(&format!("{own}{}", producers("clang", "14.0.6"))),
        command(&format!("{MALLOC}{}", producers("rustc", "1.95.0"))),
        command(MALLOC),
        // A name section without `malloc`: there is no allocator that could overwrite anything.
        command(&format!("(func $other){}", producers("clang", "14.0.6"))),
    ];
    for bytes in modules {
        let outline = Module::read(&bytes).expect("valid");
        let kept = realloc::with_safe_allocator("guest.wasm", &bytes, &outline);
        assert!(matches!(kept, Ok(Cow::Borrowed(_))));
        load("guest.wasm", &bytes).expect("adapted");
    }
}

#[test]
fn an_old_allocator_that_cannot_be_found_is_refused() {
    let unnamed = module(&format!(
        r#"(module
            (memory (export "memory") 1)
            (func (export "_start"))
            {})"#,
        producers("clang", "14.0.6")
    ));
    let other = command(&format!(
        "(func $malloc (param i64)){}",
        producers("clang", "14.0.6")
    ));
    for bytes in [unnamed, other] {
        let error = load("guest.wasm", &bytes).expect_err("unsafe");
        assert!(matches!(error, Error::UnsafeAllocator { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("guest.wasm") && text.contains("clang 14.0.6"),
            "{text}"
        );
    }
}

#[test]
fn no_cut_or_bent_module_panics() {
    let bytes = command(&format!("{MALLOC}{}", producers("clang", "14.0.6")));
    for i in 0..bytes.len() {
        let _ = load("guest.wasm", &bytes[..i]);
        let mut bent = bytes.clone();
        bent[i] ^= 0x81;
        let _ = load("guest.wasm", &bent);
    }
}
