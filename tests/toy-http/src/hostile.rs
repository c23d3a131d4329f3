//! Answers of a server that means harm, or is broken as if it did.

use std::time::Duration;

use crate::{Reply, Step};

/// A wait after which a client has long given up.
const LONG: Duration = Duration::from_secs(3600);

/// How often a byte of a drip comes.
const DRIP: Duration = Duration::from_millis(20);

/// Answers that are hostile to a client, each with its name: endless, huge and malformed headers, stalls, redirects to
/// `elsewhere` and in circles, and bodies that do not end, or not as was announced. None is a success with a whole body.
pub fn hostile(elsewhere: &str) -> Vec<(&'static str, Reply)> {
    [headers(), stalls(), redirects(elsewhere), bodies()].concat()
}

fn text(text: &str) -> Reply {
    Reply::of([Step::Send(text.as_bytes().to_vec())])
}

fn ok(headers: &[(&str, &str)]) -> Reply {
    Reply::of([Step::Send(Reply::head(200, headers))])
}

fn endless(start: &str, again: &str) -> Reply {
    let many = again.repeat(16 * 1024 / again.len());
    text(start).then(Step::Endless(many.into_bytes()))
}

fn headers() -> Vec<(&'static str, Reply)> {
    let huge = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(1 << 20));
    vec![
        ("an endless status line", endless("HTTP/1.1 200 ", "a")),
        ("an endless header", endless("HTTP/1.1 200 OK\r\nA: ", "a")),
        (
            "endless headers",
            endless("HTTP/1.1 200 OK\r\n", "A: b\r\n"),
        ),
        (
            "endless interim answers",
            endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
        ),
        ("a huge header", text(&huge)),
        ("no HTTP", text("220 mail.example.org ESMTP\r\n\r\n")),
        ("endless garbage", endless("", "\0\u{1}garbage")),
        ("no status", text("HTTP/1.1 abc OK\r\n\r\n")),
        (
            "a header without a colon",
            text("HTTP/1.1 200 OK\r\nA b\r\n\r\n"),
        ),
        (
            "a header with a zero",
            text("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n"),
        ),
        (
            "two lengths",
            ok(&[("Content-Length", "1"), ("Content-Length", "2")]),
        ),
        ("a negative length", ok(&[("Content-Length", "-1")])),
        (
            "a length that no number holds",
            ok(&[("Content-Length", "99999999999999999999")]),
        ),
        (
            "a wait for ever",
            Reply::with(429, &[("Retry-After", "18446744073709551615")], ""),
        ),
        (
            "a wait until long after us",
            Reply::with(503, &[("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")], ""),
        ),
        ("nothing", Reply::of([Step::Close])),
        ("a broken connection", Reply::of([Step::Reset])),
    ]
}

fn stalls() -> Vec<(&'static str, Reply)> {
    let drip = |reply: Reply, byte: u8| reply.then(Step::Drip(vec![byte; 1_000_000], DRIP));
    vec![
        ("silence", Reply::of([Step::Hang])),
        (
            "silence within the headers",
            text("HTTP/1.1 200 OK\r\nA: b\r\n").then(Step::Hang),
        ),
        (
            "silence within the body",
            Reply::announcing(100, 200, &[], "some").then(Step::Hang),
        ),
        (
            "silence within the body of a failure",
            Reply::announcing(100, 404, &[("X-Ipfs-Path", "/ipfs/x")], "some").then(Step::Hang),
        ),
        (
            "headers that drip",
            drip(text("HTTP/1.1 200 OK\r\nA: "), b'a'),
        ),
        (
            "a body that drips",
            drip(ok(&[("Content-Length", "1000000")]), b'a'),
        ),
        (
            "a failure that drips",
            drip(
                Reply::of([Step::Send(Reply::head(
                    500,
                    &[("Content-Length", "1000000")],
                ))]),
                b'a',
            ),
        ),
        (
            "one byte an hour",
            ok(&[("Content-Length", "100")]).then(Step::Drip(vec![b'a'; 100], LONG)),
        ),
    ]
}

fn redirects(elsewhere: &str) -> Vec<(&'static str, Reply)> {
    let to = |place: &str| Reply::with(302, &[("Location", place)], "");
    let elsewhere = format!("{elsewhere}/ipfs/x");
    vec![
        ("a redirect to itself", to("")),
        ("a redirect in a circle", to("/ipfs/x?format=raw")),
        ("a redirect to another port", to(&elsewhere)),
        ("a redirect into a network", to("http://169.254.169.254/")),
        ("a redirect to a file", to("file:///etc/passwd")),
        ("a redirect to nonsense", to("http://[::1/")),
        ("a redirect to nowhere", Reply::with(302, &[], "")),
        (
            "a redirect with an endless body",
            Reply::of([Step::Send(Reply::head(302, &[("Location", &elsewhere)]))])
                .then(Step::Endless(vec![b'a'; 16 * 1024])),
        ),
    ]
}

fn bodies() -> Vec<(&'static str, Reply)> {
    let chunked = |body: &str| {
        let head = Reply::head(200, &[("Transfer-Encoding", "chunked")]);
        Reply::of([Step::Send([head.as_slice(), body.as_bytes()].concat())])
    };
    let endless = |reply: Reply, again: &str| {
        let many = again.repeat(16 * 1024 / again.len());
        reply.then(Step::Endless(many.into_bytes()))
    };
    vec![
        ("a body without an end", endless(ok(&[]), "a")),
        (
            "a failure without an end",
            endless(Reply::of([Step::Send(Reply::head(500, &[]))]), "a"),
        ),
        ("chunks without an end", endless(chunked(""), "1\r\na\r\n")),
        (
            "empty chunk extensions without an end",
            endless(chunked("1;"), "a"),
        ),
        ("a chunk without a length", chunked("xyz\r\na\r\n")),
        (
            "a chunk whose length no number holds",
            chunked("ffffffffffffffffff\r\na\r\n"),
        ),
        (
            "trailers without an end",
            endless(chunked("0\r\n"), "A: b\r\n"),
        ),
        (
            "a failure in the trailers",
            Reply::chunked(&[], ["some"], &[("X-Stream-Error", "it broke")]),
        ),
        (
            "a body that is cut short",
            Reply::announcing(100, 200, &[], "some").then(Step::Close),
        ),
        (
            "a body that breaks off",
            Reply::announcing(100, 200, &[], "some").then(Step::Reset),
        ),
        ("a tebibyte", Reply::announcing(1 << 40, 200, &[], "some")),
    ]
}
