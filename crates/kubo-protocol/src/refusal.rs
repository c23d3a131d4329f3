//! The meaning of a failed call, from the HTTP status, if the client reports it, and from the node's words.
//!
//! Kubo describes errors in English only: nearly every error has status 500 and code 0. The words here are those of
//! Kubo 0.43. Any other wording becomes [`Reason::Other`], which is never taken for an absence or a success.

use std::fmt;

use cid::Cid;
use serde::Deserialize;

/// How much of a node's message is kept, in characters: enough for every message of Kubo, and a bound for hostile ones.
const MOST_WORDS: usize = 400;

/// A call that the node refused, or could not carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The meaning.
    pub reason: Reason,
    /// The node's words, for people: one line, shortened if it is too long.
    pub message: String,
}

/// The meaning of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The node looked wherever it can (it is offline, or was asked to be), and the block is not there.
    BlockAbsent {
        /// The block, if the node names it.
        cid: Option<Cid>,
    },
    /// The deadline sent with the call passed at the node.
    DeadlineExceeded,
    /// The CID to unpin, or to look up, is not pinned.
    NotPinned,
    /// `pin/update`: the pin to start from is gone.
    UpdateFromGone,
    /// `pin/update`: the pin to make already exists.
    UpdateToThere,
    /// `files/cp`: the entry already exists.
    EntryThere,
    /// `files/…`: there is no such entry.
    EntryAbsent,
    /// `files/cp`: the block is neither raw nor UnixFS, and MFS accepts nothing else.
    NotUnixFs,
    /// The node proves that the name stands for nothing: no DNSLink record, or no name at all.
    NameAbsent,
    /// The node found no record for the name, which does not prove that there is none.
    NameUnresolved,
    /// The credentials, or the node's policy, do not allow the call.
    Denied,
    /// Too many calls.
    RateLimited,
    /// The node has no such call, or is not a Kubo node.
    NoSuchCommand,
    /// The node does not accept a path or option.
    BadRequest,
    /// Anything else.
    Other,
}

/// The body of a refused call.
#[derive(Debug, Deserialize)]
struct Body {
    #[serde(rename = "Message")]
    message: String,
}

impl Refusal {
    /// Interprets the answer to a refused call: its HTTP status, if the client reports it, and its body.
    pub fn new(status: Option<u16>, body: &[u8]) -> Self {
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { message }) => Self::of(status, &message),
            // Plain text: the answer is not from a command but from the server in front of it, or from a proxy.
            Err(_) => Self::of(status, &String::from_utf8_lossy(body)),
        }
    }

    /// Interprets a message alone: from the trailer `X-Stream-Error`, or extracted by the client.
    pub fn from_message(message: &str) -> Self {
        Self::of(None, message)
    }

    fn of(status: Option<u16>, message: &str) -> Self {
        let by_words = reason(message);
        let reason = match status {
            Some(401 | 403) => Reason::Denied,
            Some(429) => Reason::RateLimited,
            Some(404 | 405) => Reason::NoSuchCommand,
            Some(400) if by_words == Reason::Other => Reason::BadRequest,
            Some(_) | None => by_words,
        };
        Self {
            reason,
            message: one_line(message),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Kubo's words, in the order in which they are searched: an error often quotes another error after its own words.
const WORDS: &[(&str, Reason)] = &[
    (
        "'from' cid was not recursively pinned",
        Reason::UpdateFromGone,
    ),
    (
        "'to' cid was already recursively pinned",
        Reason::UpdateToThere,
    ),
    ("not pinned or pinned indirectly", Reason::NotPinned),
    ("is not pinned", Reason::NotPinned),
    // The words of IPFS Cluster, through its proxy.
    ("pin is not part of the pinset", Reason::NotPinned),
    (
        "directory already has entry by that name",
        Reason::EntryThere,
    ),
    (
        "source must be a valid UnixFS (dag-pb or raw",
        Reason::NotUnixFs,
    ),
    ("source must be a UnixFS", Reason::NotUnixFs),
    // A block under a dag-pb CID that is not dag-pb.
    ("protobuf: (PBNode)", Reason::NotUnixFs),
    (
        "potentially insecure hash functions not allowed",
        Reason::BadRequest,
    ),
    ("context deadline exceeded", Reason::DeadlineExceeded),
    (
        "DNSLink lookup could not find a TXT record",
        Reason::NameAbsent,
    ),
    ("not a valid domain name", Reason::NameAbsent),
    ("is not an IPNS name", Reason::NameAbsent),
    ("cannot resolve: \"/ipns/", Reason::NameAbsent),
    ("require libp2p-key multicodec", Reason::NameAbsent),
    ("could not resolve name", Reason::NameUnresolved),
    ("Kubo RPC Access Denied", Reason::Denied),
    ("403 - Forbidden", Reason::Denied),
    ("403 Forbidden", Reason::Denied),
    ("401 Unauthorized", Reason::Denied),
    ("429 Too Many Requests", Reason::RateLimited),
    ("404 page not found", Reason::NoSuchCommand),
    ("404 Not Found", Reason::NoSuchCommand),
    ("405 - Method Not Allowed", Reason::NoSuchCommand),
    ("command not found", Reason::NoSuchCommand),
];

/// The words before the CID in Go's `ipld.ErrNotFound`.
const COULD_NOT_FIND: &str = "ipld: could not find ";

fn reason(message: &str) -> Reason {
    if let Some((_, reason)) = WORDS.iter().find(|(words, _)| message.contains(words)) {
        return *reason;
    }
    if let Some((_, behind)) = message.rsplit_once(COULD_NOT_FIND) {
        let word = behind.split(|c: char| !c.is_ascii_alphanumeric()).next();
        let cid = word.and_then(|word| Cid::try_from(word).ok());
        return Reason::BlockAbsent { cid };
    }
    if message.contains("block was not found locally (offline)") {
        return Reason::BlockAbsent { cid: None };
    }
    // Go's `os.ErrNotExist`. It is checked last, and only at the message's end, because it does not say what is
    // missing.
    if message.trim_end().ends_with("file does not exist") {
        return Reason::EntryAbsent;
    }
    Reason::Other
}

fn one_line(message: &str) -> String {
    let mut line = String::new();
    for (n, c) in message.trim().chars().enumerate() {
        if n == MOST_WORDS {
            line.push('…');
            break;
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(message: &str) -> Vec<u8> {
        serde_json::json!({ "Message": message, "Code": 0, "Type": "error" })
            .to_string()
            .into_bytes()
    }

    #[test]
    fn kubo_s_words_are_understood() {
        let text = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        let cid = Some(Cid::try_from(text).expect("a CID"));
        let absent = format!("block was not found locally (offline): ipld: could not find {text}");
        let below = format!("pin: failed to fetch: ipld: could not find {text}: while walking");
        let cases = [
            (absent.as_str(), Reason::BlockAbsent { cid }),
            (below.as_str(), Reason::BlockAbsent { cid }),
            (
                "ipld: could not find node",
                Reason::BlockAbsent { cid: None },
            ),
            (
                "cp: cannot get node from path /ipfs/x: context deadline exceeded",
                Reason::DeadlineExceeded,
            ),
            ("not pinned or pinned indirectly", Reason::NotPinned),
            ("path 'bafyqa' is not pinned", Reason::NotPinned),
            ("pin is not part of the pinset", Reason::NotPinned),
            (
                "'from' cid was not recursively pinned already",
                Reason::UpdateFromGone,
            ),
            (
                "'to' cid was already recursively pinned",
                Reason::UpdateToThere,
            ),
            (
                "cp: cannot put node in path /a: directory already has entry by that name",
                Reason::EntryThere,
            ),
            ("file does not exist", Reason::EntryAbsent),
            ("/a/b: file does not exist\n", Reason::EntryAbsent),
            (
                "cp: source must be a valid UnixFS (dag-pb or raw codec)",
                Reason::NotUnixFs,
            ),
            (
                "cp: cannot get node from path /ipfs/x: protobuf: (PBNode) invalid wireType, expected 2, got 7",
                Reason::NotUnixFs,
            ),
            (
                "potentially insecure hash functions not allowed",
                Reason::BadRequest,
            ),
            ("could not resolve name", Reason::NameUnresolved),
            (
                "DNSLink lookup for \"_dnslink.x.\" failed: could not resolve name: DNSLink lookup could not find a \
                 TXT record (https://docs.ipfs.tech/concepts/dnslink/)",
                Reason::NameAbsent,
            ),
            ("cannot resolve: \"/ipns/€\"", Reason::NameAbsent),
            ("something new", Reason::Other),
            ("", Reason::Other),
        ];
        for (words, wanted) in cases {
            assert_eq!(
                Refusal::new(Some(500), &json(words)).reason,
                wanted,
                "{words}"
            );
            assert_eq!(Refusal::from_message(words).reason, wanted, "{words}");
        }
    }

    #[test]
    fn what_is_no_command_s_answer_is_understood_by_its_status() {
        let reason = |status, body: &str| Refusal::new(Some(status), body.as_bytes()).reason;
        let denied = "Kubo RPC Access Denied: Please provide a valid authorization token as defined in the API.\
                      Authorizations configuration.\n";
        assert_eq!(reason(403, denied), Reason::Denied);
        assert_eq!(reason(401, ""), Reason::Denied);
        assert_eq!(reason(429, "<html>slow down</html>"), Reason::RateLimited);
        assert_eq!(reason(404, "404 page not found\n"), Reason::NoSuchCommand);
        assert_eq!(
            reason(400, "argument \"cid\" is required"),
            Reason::BadRequest
        );
        assert_eq!(reason(502, "bad gateway"), Reason::Other);
        // A client that does not report the status.
        let reason = |body: &str| Refusal::new(None, body.as_bytes()).reason;
        assert_eq!(reason(denied), Reason::Denied);
        assert_eq!(reason("403 - Forbidden\n"), Reason::Denied);
        assert_eq!(
            reason("<h1>429 Too Many Requests</h1>"),
            Reason::RateLimited
        );
        assert_eq!(reason("404 page not found\n"), Reason::NoSuchCommand);
    }

    #[test]
    fn a_flood_of_words_is_one_short_line() {
        let refusal = Refusal::new(Some(500), "é\n\u{7}".repeat(100_000).as_bytes());
        assert_eq!(refusal.message.chars().count(), MOST_WORDS + 1);
        assert!(!refusal.message.contains('\n'), "{refusal}");
        assert_eq!(Refusal::new(None, &[0xff, 0xfe]).reason, Reason::Other);
    }
}
