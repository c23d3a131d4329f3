//! Lists the guests by the names of their sources, so that a guest without a host test, or a test without a guest, does
//! not compile. It builds no guest; `cargo xtask guests` does.
//!
//! A guest that is a package of its own has its test beside the example that runs it, or in a file of its own; that test
//! must name the file.

use std::{collections::BTreeSet, env, error::Error, fmt::Write as _, fs, io, path::Path};

/// The tests that run the guests that are packages of their own.
const TESTS: [&str; 3] = [
    "../../crates/wasi-ipfs-fs/tests/examples.rs",
    "tests/all/hoarding.rs",
    "tests/all/preview3.rs",
];

fn main() -> Result<(), Box<dyn Error>> {
    packages_are_tested()?;
    let sources = Path::new("../guests/src/bin");
    println!("cargo::rerun-if-changed={}", sources.display());
    let paths = fs::read_dir(sources)?.map(|entry| Ok(entry?.path()));
    let paths = paths.collect::<io::Result<BTreeSet<_>>>()?;
    let names = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|found| found == "rs"));
    let names = names.filter_map(|path| path.file_stem()?.to_str());
    let names: Vec<_> = names.collect();

    let mut list = String::new();
    for name in &names {
        let constant = name.to_uppercase();
        writeln!(
            list,
            "/// The guest `{name}`; see its source for what it does and its arguments."
        )?;
        writeln!(
            list,
            "pub const {constant}: Guest = Guest::named(\"{name}\");"
        )?;
    }
    writeln!(list, "/// All of them, by name.")?;
    let constants = names
        .iter()
        .map(|name| name.to_uppercase())
        .collect::<Vec<_>>();
    writeln!(
        list,
        "pub const ALL: &[Guest] = &[{}];",
        constants.join(", ")
    )?;
    writeln!(
        list,
        "/// Calls the macro `$each` with the name of every guest."
    )?;
    writeln!(list, "#[macro_export]")?;
    let calls: String = names
        .iter()
        .map(|name| format!("$each!({name}); "))
        .collect();
    writeln!(
        list,
        "macro_rules! foreach_guest {{ ($each:ident) => {{ {calls} }}; }}"
    )?;

    let out = env::var_os("OUT_DIR").ok_or("Cargo sets OUT_DIR for a build script")?;
    fs::write(Path::new(&out).join("guest_list.rs"), list)?;
    Ok(())
}

/// Fails if none of these tests names the guest of each package in the guests' workspace.
fn packages_are_tested() -> Result<(), Box<dyn Error>> {
    // A new package has to be added to the workspace.
    println!("cargo::rerun-if-changed=../guests/Cargo.toml");
    let mut tests = String::new();
    for file in TESTS {
        println!("cargo::rerun-if-changed={file}");
        tests.push_str(&fs::read_to_string(file)?);
    }
    for entry in fs::read_dir("../guests")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_package = entry.path().join("Cargo.toml").is_file();
        if is_package && !tests.contains(&format!("\"p2/{name}.wasm\"")) {
            return Err(format!("the guest {name} has no test in {TESTS:?}").into());
        }
    }
    Ok(())
}
