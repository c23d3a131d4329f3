//! The facts that `load` needs about a core module before it is adapted. The conclusions are drawn elsewhere.

use wasmparser::{
    BinaryReader, CompositeInnerType, FuncType, KnownCustom, Name, Parser, Payload,
    ProducersFieldValue, TypeRef, ValType,
};

/// A core module's outline.
#[derive(Default)]
pub(super) struct Module<'a> {
    /// The module and the field of every import.
    pub(super) imports: Vec<(&'a str, &'a str)>,
    /// The name of every export.
    pub(super) exports: Vec<&'a str>,
    /// The number of types.
    pub(super) types: u32,
    /// The number of functions, imported ones included. Imported ones come first.
    pub(super) functions: u32,
    /// The name and version of each tool that processed the module, from the `producers` section.
    pub(super) processed_by: Vec<(&'a str, &'a str)>,
    /// The name section's entry for `malloc`; `None` without a name section.
    pub(super) names: Option<Names>,
}

/// The name section's entry for `malloc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Names {
    /// No function is called `malloc`.
    NoMalloc,
    /// This function is called `malloc` and has C's signature.
    Malloc(u32),
    /// A function is called `malloc`, but has another signature.
    OtherMalloc,
}

impl<'a> Module<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> wasmparser::Result<Self> {
        let mut module = Self::default();
        let mut signatures: Vec<Option<FuncType>> = Vec::new();
        let mut functions: Vec<u32> = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        for ty in group?.into_types() {
                            signatures.push(match ty.composite_type.inner {
                                CompositeInnerType::Func(signature) => Some(signature),
                                _ => None,
                            });
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        module.imports.push((import.module, import.name));
                        if let TypeRef::Func(ty) = import.ty {
                            functions.push(ty);
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        functions.push(ty?);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        module.exports.push(export?.name);
                    }
                }
                // A custom section that cannot be read is ignored; the module is still valid.
                Payload::CustomSection(section) => match section.as_known() {
                    KnownCustom::Producers(_) => {
                        module.processed_by =
                            processed_by(section.data_reader()).unwrap_or_default();
                    }
                    KnownCustom::Name(names) => {
                        let malloc = malloc(names).unwrap_or(None);
                        module.names = Some(match malloc {
                            None => Names::NoMalloc,
                            Some(index) if is_malloc(index, &functions, &signatures) => {
                                Names::Malloc(index)
                            }
                            Some(_) => Names::OtherMalloc,
                        });
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        module.types = signatures.len() as u32;
        module.functions = functions.len() as u32;
        Ok(module)
    }
}

fn processed_by(section: BinaryReader<'_>) -> wasmparser::Result<Vec<(&str, &str)>> {
    let mut found = Vec::new();
    for field in wasmparser::ProducersSectionReader::new(section)? {
        let field = field?;
        if field.name == "processed-by" {
            for value in field.values {
                let ProducersFieldValue { name, version } = value?;
                found.push((name, version));
            }
        }
    }
    Ok(found)
}

/// Returns the index of the function called `malloc`.
fn malloc(names: wasmparser::NameSectionReader<'_>) -> wasmparser::Result<Option<u32>> {
    for name in names {
        if let Name::Function(functions) = name? {
            for naming in functions {
                let naming = naming?;
                if naming.name == "malloc" {
                    return Ok(Some(naming.index));
                }
            }
        }
    }
    Ok(None)
}

fn is_malloc(index: u32, functions: &[u32], signatures: &[Option<FuncType>]) -> bool {
    let signature = functions
        .get(index as usize)
        .and_then(|ty| signatures.get(*ty as usize))
        .and_then(Option::as_ref);
    signature.is_some_and(|signature| {
        signature.params() == [ValType::I32] && signature.results() == [ValType::I32]
    })
}
