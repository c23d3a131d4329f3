//! Turns a guest's bytes into a component. A preview 1 module is joined with the adapter of wasmtime's own release, so
//! that guests of both previews reach the same host functions. This module compiles nothing: compiling and caching are
//! the embedder's.
//!
//! The adapter knows only one failure: it turns every exit status except 0 into 1. To preserve a program's own status,
//! its `proc_exit` bypasses the adapter and calls `exit-with-code` of `wasi:cli/exit`, which wasmtime-wasi's linker
//! has.

use std::borrow::Cow;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1,
    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

use super::{exit_code, module::Module, realloc};
use crate::error::Error;

/// Returns `bytes` as a component: a preview 1 command is adapted, and a component is returned unchanged.
///
/// `guest` names the program in errors. The result goes to [`wasmtime::component::Component::new`].
///
/// # Errors
/// [`Error::NotWasm`], [`Error::WrongKind`], [`Error::UnsafeAllocator`], [`Error::Adapt`].
pub fn load<'a>(guest: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, Error> {
    match encoding(guest, bytes)? {
        Encoding::Component => Ok(Cow::Borrowed(bytes)),
        Encoding::Module => adapt(guest, bytes).map(Cow::Owned),
    }
}

/// Returns the kind of WebAssembly that the header declares.
fn encoding(guest: &str, bytes: &[u8]) -> Result<Encoding, Error> {
    let not_wasm = |reason: String| Error::NotWasm {
        guest: guest.to_owned(),
        reason,
    };
    if bytes.is_empty() {
        return Err(not_wasm("it is empty".into()));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(not_wasm("it does not start with \\0asm".into()));
    }
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding),
        Some(Err(error)) => Err(not_wasm(error.to_string())),
        // coverage: the parser's first payload is always the header.
        Some(Ok(_)) | None => Err(not_wasm("it has no header".into())),
    }
}

fn adapt(guest: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let module = Module::read(bytes).map_err(|error| Error::NotWasm {
        guest: guest.to_owned(),
        reason: error.to_string(),
    })?;
    check_kind(guest, &module)?;
    let bytes = realloc::with_safe_allocator(guest, bytes, &module)?;
    let bytes = exit_code::keep(&bytes);
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.adapter(PREVIEW1, ADAPTER))
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| Error::Adapt {
        guest: guest.to_owned(),
        reason: format!("{error:#}"),
    })
}

/// Checks that the module is a preview 1 command: it imports only preview 1, and exports `_start`.
fn check_kind(guest: &str, module: &Module<'_>) -> Result<(), Error> {
    let wrong = |reason: String| {
        Err(Error::WrongKind {
            guest: guest.to_owned(),
            reason,
        })
    };
    if let Some((from, name)) = module.imports.iter().find(|(from, _)| *from != PREVIEW1) {
        return wrong(format!(
            "it imports '{name}' from '{from}', but a module may import from {PREVIEW1} only; build it for wasm32-wasip1 or wasm32-wasip2"
        ));
    }
    if !module.exports.contains(&"_start") {
        return wrong("it exports no _start; expected a program, not a library".into());
    }
    Ok(())
}
