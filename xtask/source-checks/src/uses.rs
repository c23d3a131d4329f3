//! Finds which items of other files in its crate each file uses.
//!
//! A file uses the items that it imports, and those that its code names by a path, in macros too. Declaring a module
//! or re-exporting an item is not a use. A method call does not show where the method is defined, so it does not
//! count. A glob import counts for the names that the code takes from it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::{
    ImplItem, Item, Stmt,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{
    names::{Import, Names, Target, imports},
    tree::{Tree, attributes, attributes_in_impl, is_for_tests, plain},
};

/// Where a file uses items of another: lines and names, in order.
pub(crate) type Places = BTreeSet<(usize, String)>;

/// The uses from each file to each other file.
pub(crate) type Uses = BTreeMap<(usize, usize), Places>;

/// Finds all uses.
pub(crate) fn of(tree: &Tree) -> Uses {
    let names = Names::new(tree);
    let mut reader = Reader {
        tree,
        names: &names,
        module: 0,
        blocks: Vec::new(),
        locals: HashSet::new(),
        uses: Uses::new(),
    };
    for (index, module) in tree.modules.iter().enumerate() {
        reader.module = index;
        for item in &module.items {
            reader.visit_item(item);
        }
    }
    reader.uses
}

struct Reader<'t> {
    tree: &'t Tree,
    names: &'t Names<'t>,
    module: usize,
    /// The imports in the enclosing blocks.
    blocks: Vec<Vec<Import>>,
    /// The variables of the enclosing function, which hide items of the same name.
    locals: HashSet<String>,
    uses: Uses,
}

impl Reader<'_> {
    fn note(&mut self, targets: Vec<Target>, line: usize) {
        let from = self.tree.modules[self.module].file;
        for target in targets {
            if let Target::Item { file, name } = target
                && file != from
            {
                self.uses
                    .entry((from, file))
                    .or_default()
                    .insert((line, name));
            }
        }
    }

    fn import(&mut self, import: &Import) {
        let targets = self.names.resolve(self.module, &import.path);
        self.note(targets, import.line);
    }

    fn path(&mut self, path: &[String], line: usize) {
        let [first, rest @ ..] = path else { return };
        if rest.is_empty() && (self.locals.contains(first) || first == "self") {
            return;
        }
        let of_blocks = self.blocks.iter().flatten();
        let imports: Vec<_> = of_blocks
            .filter(|import| import.name.as_ref() == Some(first))
            .cloned()
            .collect();
        let mut targets = self.names.resolve(self.module, path);
        if !imports.is_empty() {
            targets = Vec::new();
        }
        for import in imports {
            let path = [&import.path, rest].concat();
            targets.extend(self.names.resolve(self.module, &path));
        }
        let globs: Vec<_> = self.blocks.iter().flatten().cloned().collect();
        for glob in globs.iter().filter(|import| import.name.is_none()) {
            let path = [&glob.path, path].concat();
            if let [Target::Module(_), ..] = self.names.resolve(self.module, &glob.path)[..] {
                targets.extend(self.names.resolve(self.module, &path));
            }
        }
        self.note(targets, line);
    }

    fn call_of_macro(&mut self, path: &[String], line: usize) {
        let targets = self.names.resolve(self.module, path);
        match path {
            [name] if targets.is_empty() => {
                let target = self.names.macro_target(name).cloned();
                self.note(target.into_iter().collect(), line);
            }
            _ => self.note(targets, line),
        }
    }

    /// Finds the paths among the tokens passed to a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let is = |at: usize, wanted: char| matches!(tokens.get(at), Some(TokenTree::Punct(found)) if found.as_char() == wanted);
        let are_colons = |at: usize| {
            let joint = matches!(tokens.get(at), Some(TokenTree::Punct(found)) if found.spacing() == Spacing::Joint);
            joint && is(at, ':') && is(at + 1, ':')
        };
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    let line = ident.span().start().line;
                    let is_field = at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'))
                        || at > 0 && is(at - 1, '\'');
                    let is_outside = at > 1 && are_colons(at - 2);
                    let mut path = vec![plain(ident)];
                    while are_colons(at + 1)
                        && let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                    {
                        path.push(plain(next));
                        at += 3;
                    }
                    let is_called = matches!(tokens.get(at + 1), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
                    let is_item =
                        path.len() > 1 || is_called || path[0].starts_with(char::is_uppercase);
                    if is_field || is_outside {
                    } else if is(at + 1, '!') && !is(at + 2, '=') {
                        self.call_of_macro(&path, line);
                    } else if is_item {
                        self.path(&path, line);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

/// The variables that a function's patterns bind.
struct Locals(HashSet<String>);

impl<'ast> Visit<'ast> for Locals {
    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        let name = plain(&pattern.ident);
        if !name.starts_with(char::is_uppercase) {
            self.0.insert(name);
        }
        visit::visit_pat_ident(self, pattern);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !is_for_tests(attributes_in_impl(item)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        let mut locals = Locals(HashSet::new());
        locals.visit_trait_item_fn(item);
        let outer = std::mem::replace(&mut self.locals, locals.0);
        visit::visit_trait_item_fn(self, item);
        self.locals = outer;
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let mut locals = Locals(HashSet::new());
        locals.visit_item_fn(item);
        let outer = std::mem::replace(&mut self.locals, locals.0);
        visit::visit_item_fn(self, item);
        self.locals = outer;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        let mut locals = Locals(HashSet::new());
        locals.visit_impl_item_fn(item);
        let outer = std::mem::replace(&mut self.locals, locals.0);
        visit::visit_impl_item_fn(self, item);
        self.locals = outer;
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if !is_for_tests(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !is_for_tests(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !is_for_tests(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_expr_block(&mut self, block: &'ast syn::ExprBlock) {
        if !is_for_tests(&block.attrs) {
            visit::visit_expr_block(self, block);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let uses = block.stmts.iter().filter_map(|statement| match statement {
            Stmt::Item(Item::Use(item)) if !is_for_tests(&item.attrs) => Some(imports(item)),
            _ => None,
        });
        self.blocks.push(uses.flatten().collect());
        visit::visit_block(self, block);
        self.blocks.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for import in imports(item).iter().filter(|import| !import.is_reexport) {
            self.import(import);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let start = path.leading_colon.map(|_| String::new());
        let words = path.segments.iter().map(|segment| plain(&segment.ident));
        let words: Vec<_> = start.into_iter().chain(words).collect();
        self.path(&words, path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        let name = plain(&pattern.ident);
        // A constant in a pattern looks like a variable.
        if name.starts_with(char::is_uppercase) {
            self.path(&[name], pattern.span().start().line);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let words: Vec<_> = call.path.segments.iter().map(|s| plain(&s.ident)).collect();
        self.call_of_macro(&words, call.path.span().start().line);
        self.tokens(call.tokens.clone());
    }
}
