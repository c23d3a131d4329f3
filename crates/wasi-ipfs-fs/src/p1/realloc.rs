//! Adds the `cabi_realloc` that a module with an allocator from before 2023 needs to be adapted safely; see the head of
//! `p1` for the reason. Sections are copied byte by byte, except for the four that gain one item at their end.

use std::borrow::Cow;

use wasmparser::{Parser, Payload};

use super::module::{Module, Names};
use crate::error::Error;

/// The first clang whose linker and wasi-libc agree on where the heap ends.
const SAFE_CLANG: u32 = 16;

/// The function that the adapter calls for memory.
const REALLOC: &str = "cabi_realloc";

/// Returns the module, with a `cabi_realloc` added if it needs one and one can be built.
pub(super) fn with_safe_allocator<'a>(
    guest: &str,
    bytes: &'a [u8],
    module: &Module<'_>,
) -> Result<Cow<'a, [u8]>, Error> {
    let Some(compiler) = old_compiler(module) else {
        return Ok(Cow::Borrowed(bytes));
    };
    match module.names {
        Some(Names::NoMalloc) => Ok(Cow::Borrowed(bytes)),
        Some(Names::Malloc(malloc)) => Ok(Cow::Owned(add_realloc(bytes, module, malloc))),
        Some(Names::OtherMalloc) | None => Err(Error::UnsafeAllocator {
            guest: guest.to_owned(),
            compiler,
        }),
    }
}

/// Returns the compiler, if its wasi-libc may overwrite the adapter's memory.
fn old_compiler(module: &Module<'_>) -> Option<String> {
    if module.exports.contains(&REALLOC)
        || module.processed_by.iter().any(|(name, _)| *name == "rustc")
    {
        return None;
    }
    let (name, version) = module
        .processed_by
        .iter()
        .find(|(name, _)| name.ends_with("clang"))?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major < SAFE_CLANG).then(|| format!("{name} {version}"))
}

/// Returns the module with one more type, function and export.
fn add_realloc(bytes: &[u8], module: &Module<'_>, malloc: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 128);
    out.extend_from_slice(&bytes[..8]);
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        let Some((id, range)) = payload.as_section() else {
            continue;
        };
        let section = &bytes[range];
        let item = match payload {
            // (i32, i32, i32, i32) -> i32
            Payload::TypeSection(_) => Some(vec![0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f]),
            Payload::FunctionSection(_) => Some(leb(module.types)),
            Payload::ExportSection(_) => Some(export(module.functions)),
            Payload::CodeSectionStart { .. } => Some(body(malloc)),
            _ => None,
        };
        out.push(id);
        match item {
            None => {
                out.extend(leb(section.len() as u32));
                out.extend_from_slice(section);
            }
            Some(item) => {
                let (count, rest) = read_leb(section);
                let count = leb(count + 1);
                out.extend(leb((count.len() + rest.len() + item.len()) as u32));
                out.extend(count);
                out.extend_from_slice(rest);
                out.extend(item);
            }
        }
    }
    out
}

fn export(function: u32) -> Vec<u8> {
    let mut item = leb(REALLOC.len() as u32);
    item.extend_from_slice(REALLOC.as_bytes());
    item.push(0); // a function
    item.extend(leb(function));
    item
}

/// The body of `cabi_realloc(old, old_size, align, size)`. It traps unless `old` is 0, which it always is when the
/// adapter calls. Otherwise it calls `malloc(size)`, whose alignment is enough for everything that the canonical ABI
/// asks for, and traps if there is no memory.
fn body(malloc: u32) -> Vec<u8> {
    let mut code = vec![
        0x00, // no locals
        0x20, 0x00, // local.get old
        0x04, 0x40, 0x00, 0x0b, // if unreachable end
        0x20, 0x03, // local.get size
        0x10, // call
    ];
    code.extend(leb(malloc));
    code.extend([
        0x22, 0x00, // local.tee old
        0x45, // i32.eqz
        0x04, 0x40, 0x00, 0x0b, // if unreachable end
        0x20, 0x00, // local.get old
        0x0b, // end
    ]);
    let mut item = leb(code.len() as u32);
    item.extend(code);
    item
}

/// Encodes a number as unsigned LEB128.
fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Returns the number at the start of a section that was parsed before, and the bytes after it.
fn read_leb(section: &[u8]) -> (u32, &[u8]) {
    let mut value = 0;
    for (i, byte) in section.iter().enumerate().take(5) {
        value |= u32::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return (value, &section[i + 1..]);
        }
    }
    // coverage: a section that was parsed before starts with a complete number.
    (value, &section[section.len().min(5)..])
}
