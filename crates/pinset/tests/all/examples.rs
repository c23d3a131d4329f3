//! The examples, run as the programs that an embedder copies.

use test_support::{examples, examples::Example, turns::turn};

examples! { backends own_backend prometheus read }

/// The CID of `Hello from IPFS.\n`, a raw block.
const HELLO: &str = "bafkreiczeptxrdrt3tybjip57dkvrjkfbjz6ravshdm3szmp5immouhrsm";

/// The CID of 3 MiB of the byte 7, in chunks of 1 MiB.
const LARGE: &str = "bafybeihdndb4izktxzkwahg3pwgg4f3ijstijw4522czwyhfl4r4noyliq";

/// The CID of `One file a block.\n`, a raw block.
const ONE_FILE: &str = "bafkreic3sbxw26vnwtotwndnw2rrhwcmrmaomtaf4ycpts4rysrhswkvj4";

/// Runs an example, whose output must be text.
fn text(example: &Example) -> String {
    String::from_utf8(example.printed(&[])).expect("text")
}

fn read(example: &Example) {
    let _turn = turn("examples");
    let text = text(example);
    let lines: Vec<_> = text.lines().collect();
    let wanted = [
        &format!("{HELLO} hello.txt"),
        &format!("{LARGE} large"),
        "Hello",
        "from IPFS.",
        "streamed 3145728 bytes",
        "copied 3145728 bytes",
        // The directory, hello.txt, the root of `large` and its leaf, which it has three times.
        "fetched 4 blocks",
    ];
    assert_eq!(lines, wanted);
}

fn backends(example: &Example) {
    let _turn = turn("examples");
    let note = "The backend is the host's choice.";
    let wanted = format!("CAR file: {note}\nnode in memory: {note}\n");
    assert_eq!(text(example), wanted);
}

fn own_backend(example: &Example) {
    let _turn = turn("examples");
    let refused = format!("pinning {ONE_FILE} failed: the backend has no recursive pins");
    assert_eq!(text(example), format!("One file a block.\n{refused}\n"));
}

fn prometheus(example: &Example) {
    let _turn = turn("examples");
    let page = text(example);
    let lines = [
        "# TYPE pinset_fetched_bytes_total counter",
        "pinset_fetched_bytes_total{cache=\"example\"} 1048576",
        "pinset_fetched_blocks_total{cache=\"example\"} 1",
        "pinset_fetch_failures_total{cache=\"example\",kind=\"not_found\"} 0",
        "# TYPE pinset_staged_bytes gauge",
        "pinset_staged_bytes{cache=\"example\"} 1048576",
        "pinset_block_fetch_seconds_count 1",
    ];
    for wanted in lines {
        assert!(page.lines().any(|line| line == wanted), "{wanted}: {page}");
    }
}
