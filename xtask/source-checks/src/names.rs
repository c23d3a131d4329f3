//! Resolves the names of a crate: from a path in one module to the file that defines the item.
//!
//! Re-exports, globs, `crate`, `self` and `super` are followed. A path that leads out of the crate resolves to nothing.

use std::collections::{HashMap, HashSet};

use syn::{Item, UseTree, Visibility, spanned::Spanned};

use crate::tree::{Tree, plain};

/// The item or module that a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An item, by the file that defines it.
    Item {
        /// The file.
        file: usize,
        /// The item's name there.
        name: String,
    },
    /// A module.
    Module(usize),
}

/// One name of a `use`.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    /// Its path; the first word is empty if it begins with `::`.
    pub(crate) path: Vec<String>,
    /// Its name here; `None` for a glob.
    pub(crate) name: Option<String>,
    /// Whether other modules may import it from here.
    pub(crate) is_reexport: bool,
    /// Its line.
    pub(crate) line: usize,
}

/// A name in a module.
#[derive(Clone, Debug)]
enum Entry {
    Target(Target),
    Import(Import),
}

/// The names of one module.
#[derive(Debug, Default)]
struct Scope {
    names: HashMap<String, Vec<Entry>>,
    globs: Vec<Import>,
}

/// The names of every module of a tree.
pub(crate) struct Names<'t> {
    tree: &'t Tree,
    scopes: Vec<Scope>,
    /// Macros by `macro_rules`, which need no path after their definition.
    macros: HashMap<String, Target>,
}

/// The imports that are being followed, so that an import that leads to itself ends instead of recursing for ever.
type Followed = HashSet<(usize, String, usize)>;

impl<'t> Names<'t> {
    /// Collects the names of every module.
    pub(crate) fn new(tree: &'t Tree) -> Self {
        let mut names = Self {
            tree,
            scopes: tree.modules.iter().map(|_| Scope::default()).collect(),
            macros: HashMap::new(),
        };
        for (index, module) in tree.modules.iter().enumerate() {
            if let Some(parent) = module.parent {
                names.add(parent, &module.name, Entry::Target(Target::Module(index)));
            }
            for item in &module.items {
                names.add_item(index, item);
            }
        }
        names
    }

    fn add(&mut self, module: usize, name: &str, entry: Entry) {
        let entries = self.scopes[module].names.entry(name.to_owned());
        entries.or_default().push(entry);
    }

    fn add_item(&mut self, module: usize, item: &Item) {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::TraitAlias(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            Item::Macro(item) => {
                let Some(name) = &item.ident else { return };
                let name = plain(name);
                let target = Target::Item {
                    file: self.tree.modules[module].file,
                    name: name.clone(),
                };
                self.macros.insert(name.clone(), target.clone());
                let is_exported = item
                    .attrs
                    .iter()
                    .any(|attribute| attribute.path().is_ident("macro_export"));
                let scope = if is_exported { 0 } else { module };
                return self.add(scope, &name, Entry::Target(target));
            }
            Item::Use(item) => {
                for import in imports(item) {
                    match &import.name {
                        Some(name) => {
                            self.add(module, &name.clone(), Entry::Import(import.clone()))
                        }
                        None => self.scopes[module].globs.push(import),
                    }
                }
                return;
            }
            _ => return,
        };
        let name = plain(name);
        let target = Target::Item {
            file: self.tree.modules[module].file,
            name: name.clone(),
        };
        self.add(module, &name, Entry::Target(target));
    }

    /// Resolves a path from within a module. It has several targets if a name is both a type and a function.
    pub(crate) fn resolve(&self, module: usize, path: &[String]) -> Vec<Target> {
        self.follow(module, path, &mut Followed::new())
    }

    /// Resolves a macro that is called by its name alone.
    pub(crate) fn macro_target(&self, name: &str) -> Option<&Target> {
        self.macros.get(name)
    }

    fn follow(&self, module: usize, path: &[String], followed: &mut Followed) -> Vec<Target> {
        let Some((first, mut rest)) = path.split_first() else {
            return Vec::new();
        };
        let mut targets = match first.as_str() {
            "" | "Self" => return Vec::new(),
            "crate" | "$crate" => vec![Target::Module(0)],
            "self" => vec![Target::Module(module)],
            "super" => {
                let mut at = self.tree.modules[module].parent;
                while let Some((word, behind)) = rest.split_first()
                    && word == "super"
                {
                    at = at.and_then(|at| self.tree.modules[at].parent);
                    rest = behind;
                }
                at.map(Target::Module).into_iter().collect()
            }
            name => self.look_up(module, name, followed),
        };
        for name in rest {
            let mut next = Vec::new();
            for target in targets {
                match target {
                    Target::Module(module) => next.extend(self.look_up(module, name, followed)),
                    // A variant or an associated item is defined with its type.
                    Target::Item { .. } => next.push(target),
                }
            }
            targets = next;
        }
        targets
    }

    fn look_up(&self, module: usize, name: &str, followed: &mut Followed) -> Vec<Target> {
        let scope = &self.scopes[module];
        let mut found = Vec::new();
        let entries = scope.names.get(name).map_or(&[][..], Vec::as_slice);
        for (at, entry) in entries.iter().enumerate() {
            match entry {
                Entry::Target(target) => found.push(target.clone()),
                Entry::Import(import) => {
                    let key = (module, name.to_owned(), at);
                    if followed.insert(key.clone()) {
                        found.extend(self.follow(module, &import.path, followed));
                        followed.remove(&key);
                    }
                }
            }
        }
        // The module's own names hide those of its globs.
        if !entries.is_empty() {
            return found;
        }
        for (at, glob) in scope.globs.iter().enumerate() {
            let key = (module, format!("{name}*"), at);
            if followed.insert(key.clone()) {
                for target in self.follow(module, &glob.path, followed) {
                    if let Target::Module(from) = target {
                        found.extend(self.look_up(from, name, followed));
                    }
                }
                followed.remove(&key);
            }
        }
        found
    }
}

/// Returns the names that a `use` imports.
pub(crate) fn imports(item: &syn::ItemUse) -> Vec<Import> {
    let mut found = Vec::new();
    let start = match item.leading_colon {
        Some(_) => vec![String::new()],
        None => Vec::new(),
    };
    let is_reexport = match &item.vis {
        Visibility::Inherited => false,
        Visibility::Restricted(within) => !within.path.is_ident("self"),
        Visibility::Public(_) => true,
    };
    flatten(&item.tree, start, is_reexport, &mut found);
    found
}

fn flatten(tree: &UseTree, mut path: Vec<String>, is_reexport: bool, found: &mut Vec<Import>) {
    let line = tree.span().start().line;
    let mut push = |path: Vec<String>, name: Option<String>| {
        found.push(Import {
            path,
            name,
            is_reexport,
            line,
        });
    };
    match tree {
        UseTree::Path(tree) => {
            path.push(plain(&tree.ident));
            flatten(&tree.tree, path, is_reexport, found);
        }
        UseTree::Name(tree) => {
            if tree.ident != "self" || path.is_empty() {
                path.push(plain(&tree.ident));
            }
            let name = path.last().cloned();
            push(path, name);
        }
        UseTree::Rename(tree) => {
            if tree.ident != "self" || path.is_empty() {
                path.push(plain(&tree.ident));
            }
            push(path, Some(plain(&tree.rename)));
        }
        UseTree::Glob(_) => push(path, None),
        UseTree::Group(tree) => {
            for part in &tree.items {
                flatten(part, path.clone(), is_reexport, found);
            }
        }
    }
}
