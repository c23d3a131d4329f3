//! `/ipns/<name>`: resolves a key or a DNSLink domain. The node is trusted with the answer.
//!
//! The only thing that can be checked here is that the answer is an immutable path. The content below the CID is
//! verified as usual.

use kubo_protocol::{Reason, Resolution};
use pinner_api::{Names, PinnerError, Resolved, async_trait};
use tokio::time::Instant;

use crate::{pinner::KuboPinner, rpc::call};

/// The longest answer, in bytes: a path may be long.
const ANSWER: usize = 64 * 1024;

#[async_trait]
impl Names for KuboPinner {
    async fn resolve(&self, name: &str) -> Result<Resolved, PinnerError> {
        let absent = || PinnerError::NameNotFound {
            name: name.to_owned(),
        };
        if !is_one_segment(name) {
            return Err(absent());
        }
        let deadline = Instant::now() + self.block_deadline;
        let resolution = call(&self.control, "name/resolve", name)
            .arg(format!("/ipns/{name}"))
            .option("recursive", true)
            // The node stops searching a little before the call's deadline, so that it can still report that.
            .option(
                "dht-timeout",
                format!("{}ms", (self.block_deadline * 9 / 10).as_millis().max(1)),
            )
            .json::<Resolution>(ANSWER, deadline)
            .await;
        match resolution {
            Ok(resolution) => {
                Resolved::try_from(resolution?).map_err(|wrong| PinnerError::Corrupt {
                    operation: format!("name/resolve {name} at {}", self.control.endpoint()),
                    reason: wrong.to_string(),
                })
            }
            Err(error) if error.is(Reason::NameAbsent) => Err(absent()),
            Err(error) => Err(error.into_pinner(None)),
        }
    }
}

/// Whether the text is a name at all. Anything else cannot stand for content, and must not reach the node, which would
/// read it as a path.
fn is_one_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && !name.contains(['/', '\\', ':', '?', '#'])
        && !name.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment() {
        for name in [
            "example.org",
            "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8",
            "bücher.example",
        ] {
            assert!(is_one_segment(name), "{name}");
        }
        for name in [
            "", ".", "..", "a/b", "/ipfs/x", "ipfs://x", "a b", "a\n", "a?b", "a#b",
        ] {
            assert!(!is_one_segment(name), "{name:?}");
        }
    }
}
