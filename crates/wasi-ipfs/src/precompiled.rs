//! Loads native code that wasmtime compiled earlier, from bytes that the user has vouched for.
//!
//! wasmtime checks that the bytes say they are of its own release and of the same settings. It cannot check that the
//! code in them is what its compiler would have made. That is why `program` takes them from a host file alone, and only
//! with `--allow-precompiled`.
#![allow(
    unsafe_code,
    reason = "wasmtime has no safe function that loads native code, since it cannot check it"
)]

use anyhow::Context;
use wasmtime::{Engine, Module, component::Component};

use crate::wasmtime_error::from_wasmtime;

/// Loads a module from the bytes of a `.cwasm` file.
///
/// # Errors
/// If they are of another release, or of other settings.
pub(crate) fn module(engine: &Engine, name: &str, bytes: &[u8]) -> anyhow::Result<Module> {
    // SAFETY: as in `component`.
    let module = unsafe { Module::deserialize(engine, bytes) };
    loaded(name, module)
}

/// Loads a component from the bytes of a `.cwasm` file.
///
/// # Errors
/// If they are a module's, another release's, or of other settings.
pub(crate) fn component(engine: &Engine, name: &str, bytes: &[u8]) -> anyhow::Result<Component> {
    // SAFETY: the bytes must be wasmtime's own output, unchanged. The user says so of this file with
    // `--allow-precompiled`; nothing else leads here.
    let component = unsafe { Component::deserialize(engine, bytes) };
    loaded(name, component)
}

fn loaded<T>(name: &str, code: wasmtime::Result<T>) -> anyhow::Result<T> {
    code.map_err(from_wasmtime).with_context(|| {
        format!("cannot load the precompiled program '{name}'; compile it again with the same release and options")
    })
}
