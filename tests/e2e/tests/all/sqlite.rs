//! Another project's program: SQLite's shell. It answers the same from a database under `/ipfs` as from the same file
//! in a native directory, and a query by an index fetches little of it.

use std::{env, path::PathBuf};

use e2e::{Content, End, Outcome, Preview, Program, Run, Sharing, Variant};
use pinner_car::{ImportOptions, Profile};
use tempfile::TempDir;
use wasmtime_wasi::FsPerms;

fn shell() -> Program {
    let folder = match env::var_os("WASI_IPFS_GUESTS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"),
    };
    Program::from_file(folder.join("p1/sqlite3.wasm"))
}

const VARIANT: Variant = Variant {
    preview: Preview::One,
    sharing: Sharing::Shared,
};

/// Makes a database of some 5 MiB, by the shell itself.
async fn database() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let program = "
        create table words (number integer primary key, word text unique, rest blob);
        with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 30000)
        insert into words select n, printf('word-%05d-ä', n * 7919 % 30000), zeroblob(n % 300) from numbers;
        create table empty (value);";
    let run = Run::new(["sqlite3", "file:/data/x.db?nolock=1", program]);
    let run = run
        .preopen(dir.path(), "/data", FsPerms::ReadWrite)
        .native();
    run.program(&shell()).await.success();
    dir
}

/// A run's output, and how it ended.
fn said(outcome: &Outcome) -> (&str, &str, &End) {
    (outcome.text(), &outcome.stderr, &outcome.end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_are_answered_as_natively() {
    let dir = database().await;
    let content = Content::import(dir.path());
    let ctx = VARIANT.ctx(&content).await;
    let root = content.path("");
    let immutable = format!("file:{root}/x.db?immutable=1");
    let read_only = format!("file:{root}/x.db?mode=ro&nolock=1");
    for (file, program, succeeds) in [
        (&immutable, ".tables", true),
        (&immutable, "pragma integrity_check", true),
        (
            &immutable,
            "select count(*), sum(number), sum(length(rest)), max(word) from words",
            true,
        ),
        (
            &immutable,
            "select * from words where word > 'word-19' order by word desc limit 3",
            true,
        ),
        (&immutable, "select count(*) from empty", true),
        (
            &read_only,
            "select word from words where number = 777",
            true,
        ),
        (&immutable, "insert into empty values (1)", false),
        (&read_only, "create table more (value)", false),
        (&format!("{root}/absent.db"), "select 1 from words", false),
        (&format!("{root}/x.db"), "delete from words", false),
    ] {
        let run = || Run::new(["sqlite3", file, program]);
        let ours = run().ipfs(ctx.clone()).program(&shell()).await;
        let native = run().preopen(dir.path(), &root, FsPerms::ReadOnly).native();
        let native = native.program(&shell()).await;
        assert_eq!(said(&ours), said(&native), "{file}: {program}");
        assert_eq!(
            ours.end == End::Exit(0),
            succeeds,
            "{file}: {program}: {}",
            ours.stderr
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_by_an_index_fetches_little() {
    let dir = database().await;
    let options = ImportOptions {
        profile: Profile::UnixfsV0_2015,
        ..ImportOptions::default()
    };
    let content = Content::import_with(dir.path(), &options);
    let file = format!("file:{}?immutable=1", content.path("x.db"));
    let run = Run::new([
        "sqlite3",
        &file,
        "select number from words where word = 'word-00777-ä'",
    ]);
    let run = run.ipfs(
        VARIANT
            .builder(&content)
            .await
            .build()
            .await
            .expect("a context"),
    );
    let outcome = run.program(&shell()).await;
    assert!(
        outcome
            .success()
            .trim()
            .parse::<u32>()
            .is_ok_and(|number| number <= 30_000)
    );
    // The root, the file's root, and the leaves with the first page, the index's pages and the row's.
    let (fetched, all) = (content.node.distinct_blocks_asked(), content.blocks.len());
    assert!(all > 15 && fetched <= 8, "{fetched} of {all} blocks");
}
