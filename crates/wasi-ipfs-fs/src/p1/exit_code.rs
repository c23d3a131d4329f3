//! A preview 1 module's own exit status.
//!
//! Preview 1 has `proc_exit(code)`. The adapter to preview 2 turns it into `exit(ok or error)`, so every code except 0
//! becomes 1, although a program such as ripgrep distinguishes 1 and 2. Preview 2 also has a call that takes the whole
//! code, and its lowered type is the same. So the module's import `wasi_snapshot_preview1.proc_exit` is renamed to that
//! call before the module becomes a component; nothing else in the module changes. Preview 2 components are left alone.

use std::borrow::Cow;

use wasmparser::{BinaryReader, Encoding, ImportSectionReader, Parser, Payload};
use wit_component::{StringEncoding, embed_component_metadata};

/// The interface that the import is renamed to. Every 0.2 host offers it under its own 0.2 version.
const INTERFACE: &str = "wasi:cli/exit@0.2.12";
const FUNCTION: &str = "exit-with-code";
/// The same in WIT. The module carries it, so that the encoder knows the import's type.
const WIT: &str = "
    package wasi:cli@0.2.12;
    interface exit {
        exit: func(status: result);
        exit-with-code: func(status-code: u8);
    }
    world status { import exit; }
";

/// Returns `wasm` with `proc_exit` renamed. Bytes that are not a module, have no `proc_exit` or do not parse are
/// returned unchanged: the compiler will report what is wrong with them.
pub(crate) fn keep(wasm: &[u8]) -> Cow<'_, [u8]> {
    rename(wasm).map_or(Cow::Borrowed(wasm), Cow::Owned)
}

fn rename(wasm: &[u8]) -> Option<Vec<u8>> {
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::Version {
                encoding: Encoding::Component,
                ..
            } => return None,
            Payload::ImportSection(imports) => {
                let content = imports.range();
                let renamed = rename_imports(&wasm[content.clone()])?;
                let mut module = Vec::with_capacity(wasm.len() + 512);
                module.extend(section_start(wasm, content.start).map(|start| &wasm[..start])?);
                module.push(IMPORT_SECTION);
                push_leb(&mut module, renamed.len());
                module.extend(renamed);
                module.extend(&wasm[content.end..]);
                embed_interface(&mut module)?;
                return Some(module);
            }
            // Imports come before all code, so nothing after this point matters.
            Payload::CodeSectionStart { .. } => return None,
            _ => {}
        }
    }
    None
}

const IMPORT_SECTION: u8 = 2;

/// Returns the start of the section whose content starts at `content`. The section's id and length come first. The
/// length is a LEB128 of any width, so it is read backwards: all its bytes except the last have the high bit.
fn section_start(wasm: &[u8], content: usize) -> Option<usize> {
    let mut at = content.checked_sub(2)?;
    while wasm.get(at)? & 0x80 != 0 {
        at = at.checked_sub(1)?;
    }
    (wasm[at] == IMPORT_SECTION).then_some(at)
}

/// Returns the content of an import section with `proc_exit` renamed, or `None` if there is no `proc_exit`.
fn rename_imports(content: &[u8]) -> Option<Vec<u8>> {
    let imports = ImportSectionReader::new(BinaryReader::new(content, 0)).ok()?;
    let count = imports.count();
    let mut starts = Vec::new();
    for import in imports.into_iter_with_offsets() {
        let (start, import) = import.ok()?;
        let is_exit = matches!(
            import,
            wasmparser::Imports::Single(_, import)
                if import.module == "wasi_snapshot_preview1" && import.name == "proc_exit"
        );
        starts.push((start, is_exit));
    }
    starts.iter().find(|(_, is_exit)| *is_exit)?;
    let ends = starts.iter().skip(1).map(|(start, _)| *start);
    let mut renamed = Vec::with_capacity(content.len() + 32);
    push_leb(&mut renamed, usize::try_from(count).ok()?);
    for ((start, is_exit), end) in starts.iter().zip(ends.chain([content.len()])) {
        let import = content.get(*start..end)?;
        if *is_exit {
            let mut reader = BinaryReader::new(import, 0);
            reader.read_string().ok()?;
            reader.read_string().ok()?;
            for name in [INTERFACE, FUNCTION] {
                push_leb(&mut renamed, name.len());
                renamed.extend(name.as_bytes());
            }
            renamed.extend(&import[reader.current_position()..]);
        } else {
            renamed.extend(import);
        }
    }
    Some(renamed)
}

fn embed_interface(module: &mut Vec<u8>) -> Option<()> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("exit.wit", WIT).ok()?;
    let world = resolve.select_world(&[package], Some("status")).ok()?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).ok()
}

fn push_leb(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(wasm: &[u8]) -> Vec<(String, String)> {
        Parser::new(0)
            .parse_all(wasm)
            .filter_map(|payload| match payload.expect("a valid module") {
                Payload::ImportSection(section) => Some(section),
                _ => None,
            })
            .flat_map(|section| {
                section
                    .into_imports()
                    .map(|import| import.expect("a valid import"))
                    .map(|import| (import.module.to_owned(), import.name.to_owned()))
            })
            .collect()
    }

    #[test]
    fn only_proc_exit_is_renamed() {
        let wasm = wat::parse_str(
            r#"(module
                (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
                (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
                (import "env" "table" (table 1 funcref))
                (func (export "_start") (call 1 (i32.const 3))))"#,
        )
        .expect("valid text");
        let renamed = keep(&wasm);
        let names = imports(&renamed);
        let names: Vec<_> = names
            .iter()
            .map(|(module, name)| (&**module, &**name))
            .collect();
        assert_eq!(
            names,
            [
                ("wasi_snapshot_preview1", "fd_close"),
                (INTERFACE, FUNCTION),
                ("env", "table"),
            ]
        );
        wasmparser::validate(&renamed).expect("still valid");
    }

    struct State(wasmtime_wasi::WasiCtx, wasmtime::component::ResourceTable);

    impl wasmtime_wasi::WasiView for State {
        fn ctx(&mut self) -> wasmtime_wasi::WasiCtxView<'_> {
            wasmtime_wasi::WasiCtxView {
                ctx: &mut self.0,
                table: &mut self.1,
            }
        }
    }

    /// The exit status that wasmtime-wasi sees of a module, through its adapter and its unchanged linker.
    async fn status_of(module: &[u8]) -> wasmtime::Result<Option<i32>> {
        use wasi_preview1_component_adapter_provider as provider;
        use wasmtime::{Engine, Store, component};
        let component = wit_component::ComponentEncoder::default()
            .validate(true)
            .module(module)
            .and_then(|encoder| {
                encoder.adapter(
                    provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                    provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
                )
            })
            .and_then(|mut encoder| encoder.encode())
            .expect("a component");
        let engine = Engine::default();
        let component = component::Component::new(&engine, component)?;
        let mut linker = component::Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        let state = State(
            wasmtime_wasi::WasiCtx::builder().build(),
            Default::default(),
        );
        let mut store = Store::new(&engine, state);
        let command = wasmtime_wasi::p2::bindings::Command::instantiate_async(
            &mut store, &component, &linker,
        )
        .await?;
        let ended = command.wasi_cli_run().call_run(&mut store).await;
        let exit = ended.expect_err("it ends by proc_exit");
        Ok(exit
            .downcast_ref::<wasmtime_wasi::I32Exit>()
            .map(|exit| exit.0))
    }

    #[tokio::test]
    async fn a_renamed_module_ends_with_its_own_status() {
        for (code, without, with) in [(0, 0, 0), (1, 1, 1), (3, 1, 3), (125, 1, 125)] {
            let module = wat::parse_str(format!(
                r#"(module
                    (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
                    (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
                    (memory (export "memory") 1)
                    (func (export "_start") (call 1 (i32.const {code}))))"#
            ))
            .expect("valid text");
            let statuses = (
                status_of(&module).await.expect("it runs"),
                status_of(&keep(&module)).await.expect("it runs"),
            );
            assert_eq!(statuses, (Some(without), Some(with)), "{code}");
        }
    }

    #[test]
    fn everything_else_comes_back_as_it_is() {
        let without = wat::parse_str(r#"(module (import "env" "proc_exit" (func)))"#).expect("wat");
        let component = wat::parse_str("(component)").expect("wat");
        for wasm in [&without[..], &component, b"", b"\0asm", b"no wasm at all"] {
            assert!(matches!(keep(wasm), Cow::Borrowed(same) if same == wasm));
        }
        let whole = wat::parse_str(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))"#,
        )
        .expect("wat");
        for cut in 0..whole.len() {
            // A cut anywhere must not panic.
            let _ = keep(&whole[..cut]);
        }
    }
}
