//! Other people's tests are compared, each with the adapter and without: what is the same, and what is not, is told.

use std::{fs, path::Path};

use e2e::{
    Guest, Preview, guests,
    suite::{self, Verdict},
};
use tempfile::TempDir;

/// A module that exits with the status 200, which wasmtime-wasi refuses.
const EXITS_WITH_200: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x08\x02\x60\x01\x7f\0\x60\0\0\
    \x02\x24\x01\x16wasi_snapshot_preview1\x09proc_exit\0\0\
    \x03\x02\x01\x01\
    \x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\x01\
    \x0a\x09\x01\x07\0\x41\xc8\x01\x10\0\x0b";

/// Puts a test into the folder.
fn put(folder: &Path, name: &str, program: &[u8], json: Option<&str>) {
    let program_file = folder.join(name).with_extension("wasm");
    fs::create_dir_all(program_file.parent().expect("a folder")).expect("a folder");
    fs::write(program_file, program).expect("a program");
    if let Some(json) = json {
        fs::write(folder.join(name).with_extension("json"), json).expect("a description");
    }
}

fn guest(guest: Guest, preview: Preview) -> Vec<u8> {
    let program = guest.program(preview);
    fs::read(program.name()).expect("the guest")
}

/// Returns each test's name and its result, in order.
async fn verdicts(folder: &Path) -> Vec<(String, Verdict)> {
    let mut verdicts = Vec::new();
    for case in suite::find(folder).expect("the tests") {
        let verdict = case.compare().await.expect("it is run");
        verdicts.push((case.name, verdict));
    }
    verdicts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_run_both_ways() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    for at in ["", "b"] {
        fs::create_dir_all(folder.join(at).join("data")).expect("a folder");
        fs::write(folder.join(at).join("data/note"), "read me").expect("a file");
    }
    let cat = guest(guests::CAT, Preview::One);
    let walk = guest(guests::WALK_HASH, Preview::Two);
    let by_root = r#"{"root": "data", "args": ["/note"], "stdout": "read me"}"#;
    put(folder, "a1", &cat, Some(by_root));
    let by_dirs = r#"{"dirs": ["data"], "args": ["data/note"], "stdout": "another"}"#;
    put(folder, "a2", &cat, Some(by_dirs));
    let operations = r#"{"operations": [
        {"type": "run", "root": "data", "args": ["/note"]},
        {"type": "read", "id": "stdout", "payload": "read me"},
        {"type": "wait"}
    ]}"#;
    let of_2 = guest(guests::CAT, Preview::Two);
    put(folder, "b/cat", &of_2, Some(operations));
    put(folder, "c", EXITS_WITH_200, Some(r#"{"exit_code": 200}"#));
    // No name of the host's is as long.
    let long = format!(r#"{{"args": ["/ipfs/{}"]}}"#, "n".repeat(300));
    put(folder, "d", &walk, Some(&long));
    put(folder, "e", &walk, Some(r#"{"proposals": ["http"]}"#));
    put(folder, "f", b"no program", None);
    let native_io = guest(guests::NATIVE_IO, Preview::One);
    fs::create_dir(folder.join("empty")).expect("a folder");
    let in_empty = r#"{"dirs": ["empty"], "args": ["empty"]}"#;
    put(folder, "g", &native_io, Some(in_empty));

    let verdicts = verdicts(folder).await;
    let names: Vec<_> = verdicts.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a1", "a2", "b/cat", "c", "d", "e", "f", "g"]);
    let verdicts: Vec<_> = verdicts.into_iter().map(|(_, verdict)| verdict).collect();
    let (passes, fails) = (
        Verdict::Alike { passes: true },
        Verdict::Alike { passes: false },
    );
    assert_eq!(verdicts[0], passes);
    assert_eq!(verdicts[1], fails);
    assert_eq!(verdicts[2], passes);
    assert!(matches!(&verdicts[3], Verdict::Gained(how) if how.contains("Exit(200)")));
    assert!(matches!(&verdicts[4], Verdict::Different(how) if how.contains("ENAMETOOLONG")));
    assert!(matches!(&verdicts[5], Verdict::NotRun(why) if why.contains("http")));
    assert_eq!(verdicts[6], fails);
    assert_eq!(verdicts[7], passes);
}
