//! Gets a guest's bytes: from a host file, from standard input, or out of IPFS, and says what they are.
//!
//! Bytes are recognised by themselves, never by a name. Native code is an exception to everything that WebAssembly
//! promises: it does what it likes with this process. So it is taken from a regular file of the host alone, and only
//! with `--allow-precompiled`; never from content, whose verification proves who chose the bytes but not that they are
//! harmless.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use anyhow::Context;
use pinset::{CacheMode, Node, RootCid};
use wasmtime::Engine;

use crate::{escape::escape, ipfs_path::ContentPath, units::show_size, usage::Usage};

/// The size of the pieces in which a program is read out of IPFS.
const CHUNK: usize = 1 << 20;

/// Where a program comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// This machine.
    Local(Local),
    /// A file in IPFS, `/ipfs/<CID>/app.wasm`.
    Ipfs(ContentPath),
}

/// Where on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    /// A file.
    File(PathBuf),
    /// Standard input, written as `-`.
    Stdin,
}

/// The bounds of a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    /// Its most bytes.
    pub(crate) bytes: u64,
    /// Whether native code is taken from a file.
    pub(crate) native: bool,
}

/// A program, not yet compiled.
pub(crate) struct Program {
    /// Its name, for messages.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) code: Binary,
}

/// A program's bytes, by what they are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    /// WebAssembly, or something that claims to be it.
    Wasm(Vec<u8>),
    /// Native code that wasmtime compiled earlier, out of a host file that the user trusts.
    Native(Vec<u8>),
}

impl Binary {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Wasm(bytes) | Self::Native(bytes) => bytes,
        }
    }
}

impl Source {
    /// Returns the source that `argument` names.
    pub(crate) fn of(argument: &OsStr) -> anyhow::Result<Self> {
        if argument == "-" {
            return Ok(Self::Local(Local::Stdin));
        }
        let Some(text) = argument.to_str() else {
            return Ok(Self::Local(Local::File(argument.into())));
        };
        let begins_with = |prefixes: [&str; 2]| {
            let begins = |it: &str| {
                text.get(..it.len())
                    .is_some_and(|text| text.eq_ignore_ascii_case(it))
            };
            prefixes.into_iter().any(begins)
        };
        if begins_with(["/ipns/", "ipns://"]) {
            return Err(Usage::invalid(format!(
                "the program '{text}' is not immutable: whoever resolves the name would choose what runs; find its CID with `wasi-ipfs stat`, and run /ipfs/<CID>"
            )));
        }
        if begins_with(["/ipfs/", "ipfs://"]) {
            let path: ContentPath =
                text.parse()
                    .map_err(|error: crate::ipfs_path::ParsePathError| {
                        Usage::invalid(error.to_string())
                    })?;
            return Ok(Self::Ipfs(path));
        }
        Ok(Self::Local(Local::File(argument.into())))
    }

    /// The name that the program is called by unless another is chosen.
    pub(crate) fn own_name(&self) -> &OsStr {
        match self {
            Self::Local(Local::File(path)) => path.file_name().unwrap_or(path.as_os_str()),
            Self::Local(Local::Stdin) => OsStr::new("-"),
            Self::Ipfs(path) => OsStr::new(path.last_name()),
        }
    }

    /// The root that it lies below, if it is in IPFS.
    pub(crate) fn root(&self) -> Option<RootCid> {
        match self {
            Self::Local(_) => None,
            Self::Ipfs(path) => path.root(),
        }
    }
}

/// Reads a program that is on this machine. It waits, so it must not run on an async thread.
pub(crate) fn read(local: &Local, allowed: Allowed) -> anyhow::Result<Program> {
    let (name, bytes, regular) = match local {
        Local::File(path) => {
            let name = path.display().to_string();
            let opened = File::open(path).and_then(|file| Ok((file.metadata()?.is_file(), file)));
            let (regular, file) = opened.with_context(|| cannot_read(&name))?;
            (name.clone(), read_from(file, &name, allowed)?, regular)
        }
        Local::Stdin => {
            let name = "-".to_owned();
            let bytes = read_from(io::stdin().lock(), &name, allowed)?;
            (name, bytes, false)
        }
    };
    let native = match (regular, allowed.native) {
        (false, _) => Native::Never,
        (true, false) => Native::Refused,
        (true, true) => Native::Allowed,
    };
    let code = recognise(&name, bytes, native)?;
    Ok(Program { name, code })
}

/// Fetches a program out of IPFS. Every block is verified, and no more than the allowed size is fetched.
///
/// # Cancellation
/// Nothing is left behind.
pub(crate) async fn fetch(
    path: &ContentPath,
    cache: &CacheMode,
    allowed: Allowed,
) -> anyhow::Result<Program> {
    let name = path.as_str().to_owned();
    let immutable = path.resolve(cache).await?;
    let file = match cache.open(&immutable).await {
        Ok(Node::File(file)) => file,
        Ok(Node::Dir(_)) => {
            anyhow::bail!("the program '{name}' is a directory; `wasi-ipfs ls` shows what is in it")
        }
        Ok(Node::Symlink(link)) => {
            anyhow::bail!(
                "the program '{name}' is a symlink to '{}'",
                escape(link.target())
            )
        }
        Err(error) => return Err(anyhow::Error::new(error).context(cannot_read(&name))),
    };
    if file.len() > allowed.bytes {
        return Err(too_large(&name, allowed));
    }
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < file.len() {
        let read = file.read_at(bytes.len() as u64, CHUNK).await;
        bytes.extend_from_slice(&read.with_context(|| cannot_read(&name))?);
    }
    let code = recognise(&name, bytes, Native::Never)?;
    Ok(Program { name, code })
}

fn read_from(from: impl Read, name: &str, allowed: Allowed) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(allowed.bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .with_context(|| cannot_read(name))?;
    match bytes.len() as u64 > allowed.bytes {
        true => Err(too_large(name, allowed)),
        false => Ok(bytes),
    }
}

fn cannot_read(name: &str) -> String {
    format!("cannot read the program '{name}'")
}

fn too_large(name: &str, allowed: Allowed) -> anyhow::Error {
    anyhow::anyhow!(
        "the program '{name}' is larger than {} ({} bytes); allow more with --max-program-size",
        show_size(allowed.bytes),
        allowed.bytes
    )
}

/// Whether native code is taken from where the bytes come from.
#[derive(Clone, Copy, Debug)]
enum Native {
    /// From there it never is.
    Never,
    /// It could be, but was not allowed.
    Refused,
    /// It is.
    Allowed,
}

/// Says what the bytes are. Text becomes binary WebAssembly.
fn recognise(name: &str, bytes: Vec<u8>, native: Native) -> anyhow::Result<Binary> {
    if Engine::detect_precompiled(&bytes).is_some() {
        return match native {
            Native::Allowed => Ok(Binary::Native(bytes)),
            Native::Refused => Err(anyhow::anyhow!(
                "the program '{name}' is precompiled native code, which is not confined to WebAssembly's limits; pass --allow-precompiled if you trust it"
            )),
            Native::Never => Err(anyhow::anyhow!(
                "the program '{name}' is precompiled native code, which is run from a regular file of this machine alone; give the WebAssembly that it was compiled from"
            )),
        };
    }
    if !is_text(&bytes) {
        return Ok(Binary::Wasm(bytes));
    }
    let text = std::str::from_utf8(&bytes)
        .with_context(|| format!("the program '{name}' is neither WebAssembly nor its text"))?;
    let wasm = wat::parse_str(text).map_err(|mut error| {
        error.set_path(name);
        anyhow::Error::new(error).context(format!("cannot read the text of the program '{name}'"))
    })?;
    Ok(Binary::Wasm(wasm))
}

/// Whether bytes are WebAssembly's text format: its first letter is a parenthesis, or a comment's semicolon.
fn is_text(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'(' | b';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_known_by_its_spelling() {
        const CID: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
        let of = |text: &str| Source::of(OsStr::new(text)).expect(text);
        assert_eq!(of("-"), Source::Local(Local::Stdin));
        for text in ["a.wasm", "./-", "ipfs/a.wasm", "/ipfs", CID] {
            assert_eq!(of(text), Source::Local(Local::File(text.into())));
        }
        for text in [
            format!("/ipfs/{CID}/a.wasm"),
            format!("ipfs://{CID}/a.wasm"),
        ] {
            let source = of(&text);
            assert!(matches!(source, Source::Ipfs(_)), "{source:?}");
            assert_eq!(source.own_name(), "a.wasm");
            assert_eq!(source.root().expect("a root").to_string(), CID);
        }
        for text in ["/ipfs/nonsense/a.wasm", "/ipns/example.org/a.wasm"] {
            let error = Source::of(OsStr::new(text)).expect_err(text).to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn text_becomes_binary_and_anything_else_stays() {
        let wasm = |bytes: &[u8]| recognise("it", bytes.to_vec(), Native::Never);
        for text in [
            "(module)",
            "\n ;; a comment\n(module)",
            "(; a comment ;) (module)",
        ] {
            let code = wasm(text.as_bytes()).expect(text);
            assert!(matches!(code, Binary::Wasm(bytes) if bytes == b"\0asm\x01\0\0\0"));
        }
        for bytes in [&b""[..], b"#!/bin/sh", b"\0asm\x01\0\0\0", b"\x7fELF"] {
            assert_eq!(wasm(bytes).expect("kept"), Binary::Wasm(bytes.to_vec()));
        }
        for text in [&b"(modul)"[..], b"(module \xff)"] {
            let error = format!("{:#}", wasm(text).expect_err("no text"));
            assert!(error.contains("'it'"), "{error}");
        }
    }
}
