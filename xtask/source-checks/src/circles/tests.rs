//! Small crates in memory, with and without a circle.

use std::{collections::HashMap, path::Path};

use super::*;

/// The uses between files, as `a.rs:1 B c.rs`, and the members of each circle.
fn read(files: &[(&str, &str)]) -> (Vec<String>, Vec<Vec<String>>) {
    let files: HashMap<_, _> = files.iter().copied().collect();
    let text = |path: &Path| files.get(path.to_str()?).map(|text| (*text).to_owned());
    let tree = Tree::load(Path::new("lib.rs"), &text).expect("the files are all there");
    let uses = uses::of(&tree);
    let name = |file: usize| tree.files[file].path.display().to_string();
    let mut edges = Vec::new();
    for ((from, to), places) in &uses {
        for (line, item) in places {
            edges.push(format!("{}:{line} {item} {}", name(*from), name(*to)));
        }
    }
    edges.sort();
    let circles = circles(tree.files.len(), &uses).into_iter();
    let members = circles.map(|circle| circle.members.into_iter().map(name).collect());
    (edges, members.collect())
}

fn edges(files: &[(&str, &str)]) -> Vec<String> {
    let (edges, circles) = read(files);
    assert_eq!(circles, Vec::<Vec<String>>::new());
    edges
}

#[test]
fn a_circle_that_is_put_in_is_found() {
    let lib = ("lib.rs", "mod a; mod b; mod c;");
    let a = ("a.rs", "use crate::b::B;\npub struct A(B);");
    let b = ("b.rs", "use crate::c::C;\npub struct B(C);");
    let without = ("c.rs", "pub struct C;");
    let with = ("c.rs", "pub struct C;\nimpl C { fn f(a: &super::a::A) {} }");
    assert_eq!(
        edges(&[lib, a, b, without]),
        [
            "a.rs:1 B b.rs",
            "a.rs:2 B b.rs",
            "b.rs:1 C c.rs",
            "b.rs:2 C c.rs"
        ]
    );
    let (_, circles) = read(&[lib, a, b, with]);
    assert_eq!(circles, [["a.rs", "b.rs", "c.rs"]]);
}

#[test]
fn the_shortest_way_round_is_described() {
    let files = HashMap::from([
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B;\npub struct A;"),
        ("b.rs", "\nuse crate::{a::A, c::C};\npub struct B;"),
        ("c.rs", "use crate::a::A;\npub struct C;"),
    ]);
    let text = |path: &Path| files.get(path.to_str()?).map(|text| (*text).to_owned());
    let tree = Tree::load(Path::new("lib.rs"), &text).expect("the files are all there");
    let uses = uses::of(&tree);
    let found = circles(tree.files.len(), &uses);
    let mut report = String::new();
    describe(&mut report, &tree, &uses, &found[0], false);
    assert_eq!(found.len(), 1);
    assert!(report.contains("a circle of 3 files"), "{report}");
    assert!(
        report.contains("a.rs:1 imports `B` from b.rs\n    b.rs:2 imports `A` from a.rs\n"),
        "{report}"
    );
    assert!(!report.contains("c.rs:1"), "{report}");
}

#[test]
fn reexports_lead_to_the_file_that_defines_the_item() {
    let files = [
        ("lib.rs", "mod face; mod user; pub use face::Renamed;"),
        (
            "face.rs",
            "mod inner; pub(crate) use inner::Item as Renamed;",
        ),
        ("face/inner.rs", "pub struct Item;"),
        (
            "user.rs",
            "use crate::Renamed;\nuse crate::face;\nfn f(_: face::Renamed) {}",
        ),
    ];
    assert_eq!(
        edges(&files),
        [
            "user.rs:1 Item face/inner.rs",
            "user.rs:3 Item face/inner.rs"
        ]
    );
}

#[test]
fn a_parent_and_its_child_make_a_circle_if_each_uses_the_other() {
    let child = (
        "face/child.rs",
        "use super::Limit;\npub(super) fn f(_: Limit) {}",
    );
    let declares = (
        "face.rs",
        "mod child;\npub(crate) use child::f;\npub struct Limit;",
    );
    let uses = (
        "face.rs",
        "mod child;\npub struct Limit;\nfn g() { child::f(Limit) }",
    );
    let lib = ("lib.rs", "mod face;");
    assert_eq!(edges(&[lib, declares, child]).len(), 2);
    assert_eq!(read(&[lib, uses, child]).1, [["face.rs", "face/child.rs"]]);
}

#[test]
fn globs_count_for_the_names_taken_from_them() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        (
            "a.rs",
            "pub struct A; pub fn make() -> A { A }\npub enum E { One }",
        ),
        ("b.rs", "pub use crate::a::*;\npub struct B;"),
        (
            "c.rs",
            "use crate::b::*;\nfn f() -> B { let make = 1; make; B }\nfn g(_: A) { use crate::a::E::*; One; }",
        ),
    ];
    assert_eq!(
        edges(&files),
        ["c.rs:2 B b.rs", "c.rs:3 A a.rs", "c.rs:3 E a.rs"]
    );
}

#[test]
fn macros_use_what_they_are_given_and_are_used_themselves() {
    let files = [
        ("lib.rs", "#[macro_use] mod m; mod a; mod b;"),
        (
            "m.rs",
            "macro_rules! twice { ($x:expr) => { $crate::a::add($x, $x) }; }",
        ),
        (
            "a.rs",
            "pub fn add(a: u8, b: u8) -> u8 { a + b }\npub const K: u8 = 1;",
        ),
        (
            "b.rs",
            "fn f() {\n twice!(1);\n assert_eq!(x.add(1), crate::a::K);\n}",
        ),
    ];
    assert_eq!(
        edges(&files),
        ["b.rs:2 twice m.rs", "b.rs:3 K a.rs", "m.rs:1 add a.rs"]
    );
}

#[test]
fn tests_do_not_count() {
    let files = [
        ("lib.rs", "mod a; mod b;\n#[cfg(test)] mod only_in_tests;"),
        (
            "a.rs",
            "use crate::b::B;\npub struct A(B);\n#[cfg(all(test, unix))]\nuse std::fs;",
        ),
        (
            "b.rs",
            "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }\n\
             impl B { #[cfg(test)] fn f(_: crate::a::A) {} }",
        ),
    ];
    assert_eq!(edges(&files), ["a.rs:1 B b.rs", "a.rs:2 B b.rs"]);
    let otherwise = ("b.rs", "pub struct B;\n#[cfg(not(test))]\nuse crate::a::A;");
    assert_eq!(read(&[files[0], files[1], otherwise]).1.len(), 1);
}

#[test]
fn nested_modules_and_named_paths_are_followed() {
    let files = [
        (
            "lib.rs",
            "mod outer { pub(crate) mod inner; pub struct Here; }\n#[path = \"odd/name.rs\"] mod named;",
        ),
        (
            "outer/inner.rs",
            "use super::super::named::N;\nuse super::Here;\npub struct I(N, Here);",
        ),
        ("odd/name.rs", "mod below;\npub struct N;"),
        (
            "odd/below.rs",
            "use std::fmt; // crate::outer::inner::I\nstruct X(super::N);",
        ),
    ];
    assert_eq!(
        edges(&files),
        [
            "odd/below.rs:2 N odd/name.rs",
            "outer/inner.rs:1 N odd/name.rs",
            "outer/inner.rs:2 Here lib.rs",
            "outer/inner.rs:3 Here lib.rs",
            "outer/inner.rs:3 N odd/name.rs",
        ]
    );
}

#[test]
fn names_that_lead_to_themselves_end() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use a::*; pub use b::*;"),
        (
            "a.rs",
            "pub use crate::*;\npub use self::x as x;\nfn f() { x::y(); nothing::z() }",
        ),
        ("b.rs", "pub use crate::a::*;"),
    ];
    assert_eq!(edges(&files), Vec::<String>::new());
}
