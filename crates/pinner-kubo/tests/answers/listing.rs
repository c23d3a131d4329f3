//! Listings: our pins among others, and whether the listing is complete.

use futures_util::{StreamExt, TryStreamExt};
use kubo_protocol::Wrapper;
use pinner_api::{PinDepth, Pinner};
use toy_http::{Asked, Reply, Step};

use crate::{BLOCK, JSON, cid, failure, holder, late_failure, lines, node};

#[tokio::test]
async fn a_listing_gives_our_pins_and_says_when_it_is_not_whole() {
    let ours = Wrapper::new(holder(), cid()).to_string();
    let line = |cid: &str| format!("{{\"Cid\":\"{cid}\",\"Type\":\"recursive\"}}\n");
    let foreign = [
        line(BLOCK),
        line("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"),
        line("bafyqaaa"),
        line("no CID"),
        line(""),
    ];
    let mut all: Vec<&str> = foreign.iter().map(String::as_str).collect();
    let its = line(&ours);
    all.insert(2, &its);
    let entries = format!(
        r#"{{"Entries":[{{"Name":"{}"}},{{"Name":"the owner's"}},{{"Name":".."}}]}}"#,
        holder()
    );
    let roots = format!(r#"{{"Entries":[{{"Name":"{BLOCK}"}},{{"Name":"notes"}}]}}"#);
    let files = move |asked: &Asked| match asked.target.contains(&holder().to_string()) {
        true => Reply::ok(JSON, &roots),
        false => Reply::ok(JSON, &entries),
    };

    let whole = lines(&all);
    let (_server, pinner) = node("0.43.0", {
        let files = files.clone();
        move |command, asked| match command {
            "pin/ls" => whole.clone(),
            _ => files(asked),
        }
    })
    .await;
    let pins: Vec<_> = pinner.pins().try_collect().await.expect("a listing");
    let depths: Vec<_> = pins.iter().map(|pin| pin.depth).collect();
    assert_eq!(depths, [PinDepth::Recursive, PinDepth::Lazy]);
    assert!(
        pins.iter()
            .all(|pin| pin.holder == holder() && pin.root == cid())
    );

    for broken in [
        late_failure(&all, "context canceled"),
        lines(&[&its, "garbage\n"]),
        failure("pinner is closed"),
        Reply::of([
            Step::Send(Reply::head(200, &[("Transfer-Encoding", "chunked")])),
            Step::Send(Reply::chunk(&its)),
            Step::Close,
        ]),
    ] {
        let files = files.clone();
        let (_server, pinner) = node("0.43.0", move |command, asked| match command {
            "pin/ls" => broken.clone(),
            _ => files(asked),
        })
        .await;
        let pins: Vec<_> = pinner.pins().collect().await;
        let last = pins.last().expect("an error at least");
        assert!(
            last.is_err(),
            "a listing that broke off looks whole: {pins:?}"
        );
        let errors = pins.iter().filter(|pin| pin.is_err()).count();
        assert_eq!(errors, 1, "it ends with its first error: {pins:?}");
    }
}
