//! Answers that must not pass as a pin, as a release, or as a listing of pins.

use std::time::Duration;

use futures_util::TryStreamExt;
use kubo_protocol::{Wrapper, mfs};
use pinner_api::{Holder, Pin, PinDepth, Pinner, PinnerError};
use pinner_conformance::Block;

use crate::server::{BROKE_OFF, CHUNKED, Reply, Server, chunked, refusal};

fn holder(n: u8) -> Holder {
    Holder::new([1; 8], [n; 16])
}

/// The result of pinning when the node answers `pin/add` like this.
async fn added(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Result<(), PinnerError> {
    let root = Block::unique(100).cid;
    let wrapper = Wrapper::new(holder(1), root).to_string();
    let server = Server::start(move |call| call.starts_with("pin/add").then(|| reply(&wrapper)));
    let server = server.await.expect("a server");
    let pinner = server.pinner().await;
    pinner.pin(&holder(1), &root, PinDepth::Recursive).await
}

fn line(pinned: &str) -> String {
    format!("{{\"Pins\":[\"{pinned}\"]}}\n")
}

const PROGRESS: &str = "{\"Progress\":3,\"Bytes\":3000}\n";

#[tokio::test]
async fn a_pin_is_made_when_the_node_names_it() {
    added(|wrapper| chunked(line(wrapper), ""))
        .await
        .expect("a pin");
    added(|wrapper| chunked(format!("{{}}\n{PROGRESS}{}", line(wrapper)), ""))
        .await
        .expect("a pin");
    // Without a newline at the end, as a proxy may send it.
    added(|wrapper| chunked(line(wrapper).trim_end(), ""))
        .await
        .expect("a pin");
}

#[tokio::test]
async fn progress_is_no_pin() {
    for said in ["", "{}\n", PROGRESS, "{\"Pins\":null}\n", "{\"Pins\":[]}\n"] {
        for trailers in ["", BROKE_OFF] {
            let got = added(move |_| chunked(said, trailers)).await;
            assert!(
                matches!(got, Err(PinnerError::Unavailable { .. })),
                "{said}: {got:?}"
            );
        }
    }
    // Another holder's pin does not count.
    let got = added(|_| chunked(line("bafyqa"), "")).await;
    assert!(
        matches!(got, Err(PinnerError::Unavailable { .. })),
        "{got:?}"
    );
    // The beginning of the line does not count.
    let got = added(|wrapper| chunked(&line(wrapper)[..30], BROKE_OFF)).await;
    assert!(matches!(got, Err(PinnerError::Corrupt { .. })), "{got:?}");
    let got = added(|_| chunked("<html></html>\n", "")).await;
    assert!(matches!(got, Err(PinnerError::Corrupt { .. })), "{got:?}");
}

#[tokio::test]
async fn a_pin_without_progress_is_out_of_time() {
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
    let begun = [CHUNKED.as_bytes(), &chunk(PROGRESS)].concat();
    let silent = begun.clone();
    let got = added(move |_| Reply::AndSilence(silent.clone())).await;
    assert!(matches!(got, Err(PinnerError::TimedOut { .. })), "{got:?}");
    // Endless lines that show no progress.
    let got = added(move |_| Reply::AndForEver(begun.clone(), chunk(PROGRESS))).await;
    assert!(matches!(got, Err(PinnerError::TimedOut { .. })), "{got:?}");
    // An endless line.
    let endless = chunk(&"x".repeat(4096));
    let got = added(move |_| Reply::AndForEver(CHUNKED.into(), endless.clone())).await;
    assert!(matches!(got, Err(PinnerError::Corrupt { .. })), "{got:?}");
}

#[tokio::test]
async fn what_is_pinned_is_not_pinned_again() {
    // A second `pin/add` first removes the pin, and a failure would leave it removed.
    let root = Block::unique(100).cid;
    let wrapper = Wrapper::new(holder(1), root).to_string();
    let listed =
        format!("{{\"Keys\":{{\"{wrapper}\":{{\"Type\":\"recursive\",\"Name\":\"\"}}}}}}\n");
    let server =
        Server::start(move |call| call.starts_with("pin/ls?arg").then(|| chunked(&listed, "")));
    let server = server.await.expect("a server");
    let pinner = server.pinner().await;
    pinner
        .pin(&holder(1), &root, PinDepth::Recursive)
        .await
        .expect("a pin");
    assert_eq!(server.calls("pin/add"), Vec::<String>::new());
    // An unclear answer counts neither as pinned nor as unpinned.
    let unsure = Server::start(|call| call.starts_with("pin/ls?arg").then(|| chunked("{}", "")));
    let unsure = unsure.await.expect("a server");
    let got = unsure
        .pinner()
        .await
        .pin(&holder(1), &root, PinDepth::Recursive)
        .await;
    assert!(matches!(got, Err(PinnerError::Corrupt { .. })), "{got:?}");
    assert_eq!(unsure.calls("pin/add"), Vec::<String>::new());
}

#[tokio::test]
async fn a_second_holder_is_made_from_the_first() {
    let root = Block::unique(100).cid;
    let answers = move |call: &str| {
        let pinned = |n| line(&Wrapper::new(holder(n), root).to_string());
        match call.split('?').next() {
            Some("pin/add") => Some(chunked([pinned(1), pinned(3)].concat(), "")),
            Some("pin/update") if call.contains(&Wrapper::new(holder(3), root).to_string()) => {
                Some(refusal("'from' cid was not recursively pinned already"))
            }
            Some("pin/update") => Some(chunked(pinned(2), "")),
            _ => None,
        }
    };
    let server = Server::start(answers).await.expect("a server");
    let pinner = server.pinner().await;
    let counts = || {
        (
            server.calls("pin/add").len(),
            server.calls("pin/update").len(),
        )
    };
    pinner
        .pin(&holder(1), &root, PinDepth::Recursive)
        .await
        .expect("a pin");
    assert_eq!(counts(), (1, 0));
    pinner
        .pin(&holder(2), &root, PinDepth::Recursive)
        .await
        .expect("a pin");
    assert_eq!(counts(), (1, 1));
    // The pin to start from is gone, so the whole DAG is pinned anew.
    pinner
        .pin(&holder(3), &root, PinDepth::Recursive)
        .await
        .expect("a pin");
    assert_eq!(counts(), (2, 2));
}

/// The result of listing pins when the node answers like this.
async fn listed(call: &'static str, reply: Reply) -> Result<Vec<Pin>, PinnerError> {
    let server = Server::start(move |asked| asked.starts_with(call).then(|| reply.clone()));
    let server = server.await.expect("a server");
    let pinner = server.pinner().await;
    pinner.pins().try_collect().await
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_no_shorter_listing() {
    let root = Block::unique(100).cid;
    let keys: Vec<_> = (1..=3)
        .map(|n| {
            format!(
                "\"{}\":{{\"Type\":\"recursive\",\"Name\":\"\"}}",
                Wrapper::new(holder(n), root)
            )
        })
        .collect();
    let whole = format!(
        "{{\"Keys\":{{\"Qm1\":{{\"Type\":\"recursive\"}},{}}}}}\n",
        keys.join(",")
    );
    let got = listed("pin/ls", chunked(&whole, ""))
        .await
        .expect("a listing");
    assert_eq!(got.len(), 3);
    assert!(
        got.iter()
            .all(|pin| pin.root == root && pin.depth == PinDepth::Recursive)
    );
    for length in [0, 1, 20, whole.len() / 2, whole.len() - 3] {
        let got = listed("pin/ls", chunked(&whole[..length], BROKE_OFF)).await;
        assert!(
            matches!(got, Err(PinnerError::Corrupt { .. })),
            "{length}: {got:?}"
        );
    }
    let got = listed("pin/ls", chunked("<html></html>", "")).await;
    assert!(matches!(got, Err(PinnerError::Corrupt { .. })), "{got:?}");
    // The same holds for MFS.
    for cut in ["", "{\"Entries\":[{\"Name\":", "<html></html>"] {
        let got = listed("files/ls", chunked(cut, BROKE_OFF)).await;
        assert!(
            matches!(got, Err(PinnerError::Corrupt { .. })),
            "{cut}: {got:?}"
        );
    }
    let got = listed("files/ls", refusal("the disk is gone")).await;
    assert!(
        matches!(got, Err(PinnerError::Unavailable { .. })),
        "{got:?}"
    );
}

#[tokio::test]
async fn a_failed_release_is_no_release() {
    let root = Block::unique(100).cid;
    let released = async |call: &'static str, reply: Reply| {
        let server = Server::start(move |asked| asked.starts_with(call).then(|| reply.clone()));
        let server = server.await.expect("a server");
        server.pinner().await.unpin(&holder(1), &root).await
    };
    released("none", refusal(""))
        .await
        .expect("nothing is pinned");
    // An empty success: a node sends it when it did nothing, for example after a malformed option.
    assert!(released("pin/rm", chunked("", "")).await.is_err());
    assert!(
        released("pin/rm", refusal("the disk is full"))
            .await
            .is_err()
    );
    // An entry of MFS that could not be removed: status 200, the reason in the body, and more in the trailer.
    let path = mfs::pin_path(&holder(1), &root);
    let said = |why: &str| chunked(format!("\"{path}: {why}\"\n"), "X-Stream-Error: can't\r\n");
    released("files/rm", said("file does not exist"))
        .await
        .expect("it is gone");
    let got = released("files/rm", said("the disk is full")).await;
    assert!(
        matches!(got, Err(PinnerError::Unavailable { .. })),
        "{got:?}"
    );
}

#[tokio::test]
async fn an_abandoned_call_ends_at_the_node() {
    let root = Block::unique(100).cid;
    let server = Server::start(|call| {
        call.starts_with("pin/add")
            .then(|| Reply::AndSilence(CHUNKED.into()))
    });
    let server = server.await.expect("a server");
    let pinner = server
        .builder()
        .no_progress_deadline(Duration::from_secs(600))
        .connect()
        .await
        .expect("a node");
    let holder = holder(1);
    let mut call = pinner.pin(&holder, &root, PinDepth::Recursive);
    while server.calls("pin/add").is_empty() {
        tokio::select! {
            got = &mut call => panic!("nothing was answered, and it ended: {got:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(server.open(), 1);
    drop(call);
    let closed = async {
        while server.open() > 0 {
            tokio::task::yield_now().await;
        }
    };
    // Long enough for any machine; only a failure waits that long.
    let closed = tokio::time::timeout(Duration::from_secs(30), closed).await;
    closed.expect("the connection goes with the call");
}
