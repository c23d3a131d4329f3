//! Names: the node's answer, or an error.

use std::sync::{Arc, Mutex};

use pinner_api::{Pinner, PinnerError};
use toy_http::{Asked, Reply};

use crate::{BLOCK, JSON, cid, failure, node};

#[tokio::test]
async fn a_name_is_what_the_node_says_or_an_error() {
    let reply = Arc::new(Mutex::new(Reply::default()));
    let script = {
        let reply = reply.clone();
        move |command: &str, asked: &Asked| {
            assert_eq!(command, "name/resolve");
            assert!(
                asked.target.contains("arg=%2Fipns%2Fexample.org"),
                "{}",
                asked.target
            );
            reply.lock().expect("one test").clone()
        }
    };
    let (server, pinner) = node("0.43.0", script).await;
    let names = pinner.names().expect("a node has names");
    let answer = async |its: Reply| {
        *reply.lock().expect("one test") = its;
        names.resolve("example.org").await
    };
    let path = |path: &str| Reply::ok(JSON, format!(r#"{{"Path":"{path}"}}"#));
    let resolved = answer(path(&format!("/ipfs/{BLOCK}/a/b")))
        .await
        .expect("a path");
    assert_eq!((resolved.root, resolved.path.as_str()), (cid(), "a/b"));
    for wrong in ["", "/ipns/example.net", "/ipfs/", "/etc/passwd"] {
        let error = answer(path(wrong)).await.expect_err(wrong);
        assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    }
    let none = "DNSLink lookup for \"x\" failed: could not resolve name: DNSLink lookup could not find a TXT record";
    let error = answer(failure(none)).await.expect_err("no such name");
    assert!(
        matches!(error, PinnerError::NameNotFound { .. }),
        "{error:?}"
    );
    // No record was found, which does not prove that there is none.
    let error = answer(failure("could not resolve name"))
        .await
        .expect_err("unknown");
    assert!(
        matches!(error, PinnerError::Unavailable { .. }),
        "{error:?}"
    );

    let asked = server.requests().len();
    for name in ["", "..", "a/b", "/ipfs/x"] {
        let error = names.resolve(name).await.expect_err(name);
        assert!(
            matches!(error, PinnerError::NameNotFound { .. }),
            "{error:?}"
        );
    }
    assert_eq!(
        server.requests().len(),
        asked,
        "an invalid name is not asked for"
    );
}
