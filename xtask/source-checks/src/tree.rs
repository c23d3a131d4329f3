//! The module tree of a crate: parsed files, the modules in them, and which lines are tests.
//!
//! It follows `mod` declarations as the compiler does, including `#[path]`, and leaves out items for tests only.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use syn::{Attribute, Item, Meta, punctuated::Punctuated, spanned::Spanned, visit::Visit};

/// A library or a program, module by module.
#[derive(Default)]
pub(crate) struct Tree {
    /// Every file of the tree, except tests.
    pub(crate) files: Vec<SourceFile>,
    /// Every module; the first is the root.
    pub(crate) modules: Vec<Module>,
}

/// A file of the tree.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Its path, relative to the root of the checkout.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// The lines, counted from 1, of the items that are compiled for tests only.
    pub(crate) test_lines: Vec<RangeInclusive<usize>>,
}

/// A module, in a file of its own or inline.
pub(crate) struct Module {
    /// The module around it; `None` for the root.
    pub(crate) parent: Option<usize>,
    /// Its name; empty for the root.
    pub(crate) name: String,
    /// The file of its items.
    pub(crate) file: usize,
    /// Its items, except modules and items for tests only.
    pub(crate) items: Vec<Item>,
}

/// Reads a file by its path, relative to the root of the checkout.
type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

impl Tree {
    /// Loads the tree whose root is this file.
    pub(crate) fn load(root: &Path, read: Read<'_>) -> Result<Self> {
        let mut tree = Self::default();
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        tree.load_file(root, &folder, None, "", read)?;
        Ok(tree)
    }

    /// Loads a file as a module. The modules that it declares are in `folder`.
    fn load_file(
        &mut self,
        path: &Path,
        folder: &Path,
        parent: Option<usize>,
        name: &str,
        read: Read<'_>,
    ) -> Result<()> {
        let text = read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let parsed =
            syn::parse_file(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        let file = self.files.len();
        self.files.push(SourceFile {
            path: path.to_owned(),
            test_lines: test_lines(&parsed),
            text,
        });
        self.add(file, folder, parent, name, parsed.items, read)
    }

    fn add(
        &mut self,
        file: usize,
        folder: &Path,
        parent: Option<usize>,
        name: &str,
        items: Vec<Item>,
        read: Read<'_>,
    ) -> Result<()> {
        let index = self.modules.len();
        self.modules.push(Module {
            parent,
            name: name.to_owned(),
            file,
            items: Vec::new(),
        });
        for item in items {
            if is_for_tests(attributes(&item)) {
                continue;
            }
            let Item::Mod(module) = item else {
                self.modules[index].items.push(item);
                continue;
            };
            let name = plain(&module.ident);
            if let Some((_, items)) = module.content {
                self.add(file, &folder.join(&name), Some(index), &name, items, read)?;
                continue;
            }
            // A file named by an attribute counts as a `mod.rs`: the modules that it declares are beside it.
            let (path, below) = match path_attribute(&module.attrs) {
                Some(path) => {
                    let beside = self.files[file].path.parent().unwrap_or(Path::new(""));
                    let path = without_dots(&beside.join(path));
                    let below = path.parent().unwrap_or(Path::new("")).to_owned();
                    (path, below)
                }
                None => {
                    let below = folder.join(&name);
                    let candidates = [folder.join(format!("{name}.rs")), below.join("mod.rs")];
                    let there = candidates.into_iter().find(|path| read(path).is_some());
                    let Some(path) = there else {
                        bail!(
                            "{}: the module {name} has no file",
                            self.files[file].path.display()
                        );
                    };
                    (path, below)
                }
            };
            self.load_file(&path, &below, Some(index), &name, read)?;
        }
        Ok(())
    }
}

/// Returns an identifier without the `r#` of raw identifiers.
pub(crate) fn plain(ident: &syn::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            std::path::Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let value = attributes.iter().find_map(|attribute| {
        let meta = attribute.meta.require_name_value().ok()?;
        meta.path.is_ident("path").then_some(&meta.value)
    })?;
    match value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

/// Whether the attributes mean that an item is compiled for tests only.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<Meta>()
                    .is_ok_and(|meta| needs_test(&meta))
    })
}

/// Whether a condition is false without `test` (or `doctest`), whatever else holds.
fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test") || path.is_ident("doctest"),
        Meta::List(list) => {
            let parts = list.parse_args_with(Punctuated::<Meta, syn::Token![,]>::parse_terminated);
            let Ok(parts) = parts else { return false };
            match list.path.get_ident().map(ToString::to_string).as_deref() {
                Some("all") => parts.iter().any(needs_test),
                Some("any") => !parts.is_empty() && parts.iter().all(needs_test),
                _ => false,
            }
        }
        Meta::NameValue(_) => false,
    }
}

/// Returns the attributes of an item.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Returns the attributes of an item in an `impl`.
pub(crate) fn attributes_in_impl(item: &syn::ImplItem) -> &[Attribute] {
    match item {
        syn::ImplItem::Const(item) => &item.attrs,
        syn::ImplItem::Fn(item) => &item.attrs,
        syn::ImplItem::Type(item) => &item.attrs,
        syn::ImplItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

/// Returns the lines of every item in the file that is for tests only.
pub(crate) fn test_lines(file: &syn::File) -> Vec<RangeInclusive<usize>> {
    struct Lines(Vec<RangeInclusive<usize>>);
    impl<'ast> Visit<'ast> for Lines {
        fn visit_item(&mut self, item: &'ast Item) {
            match is_for_tests(attributes(item)) {
                true => self.0.push(lines(item)),
                false => syn::visit::visit_item(self, item),
            }
        }
        fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
            match is_for_tests(attributes_in_impl(item)) {
                true => self.0.push(lines(item)),
                false => syn::visit::visit_impl_item(self, item),
            }
        }
    }
    let mut found = Lines(Vec::new());
    found.visit_file(file);
    found.0
}

/// The lines from the item's first attribute to its end.
fn lines(item: &impl Spanned) -> RangeInclusive<usize> {
    let span = item.span();
    span.start().line..=span.end().line
}
