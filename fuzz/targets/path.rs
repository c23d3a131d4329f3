//! Any text as a path: an accepted path parses to the same value after it is written out, and an error is short.

#![no_main]

use std::{fmt, str::FromStr};

use fuzzed::{memory::bounded, seeds};
use libfuzzer_sys::fuzz_target;
use pinset::{IpfsPath, IpnsName, IpnsPath};

/// A text is copied into its parts, or into an error.
const PER_BYTE: usize = 16;

fuzz_target!(
    init: seeds::write_if_asked(|| {
        let cids = seeds::blocks();
        let cids = cids.iter().take(40).map(|(cid, _)| cid.to_string());
        let mut all: Vec<String> = cids
            .enumerate()
            .map(|(n, cid)| match n % 4 {
                0 => cid,
                1 => format!("/ipfs/{cid}"),
                2 => format!("ipfs://{cid}/a/\u{fc}/b.txt"),
                _ => format!("/ipfs/{cid}/.././/x/"),
            })
            .collect();
        for name in ["example.org", "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r"] {
            all.extend([format!("/ipns/{name}"), format!("ipns://{name}/a/b"), name.to_owned()]);
        }
        // The same CID in bases 16, 58 and 64, and an identity CID.
        all.extend(
            [
                "f01551220c3c4733ec8affd06cf9e9ff50ffc6bcd2ec85a6170004bb709669c31de94391a",
                "zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA",
                "mAVUSIMPEcz7Ir/0Gz56f9Q/8a80uyFphcABLtwlmnDHelDka",
                "bafkqabtimvwgy3yk",
            ]
            .map(|cid| format!("/ipfs/{cid}/a")),
        );
        all.into_iter().map(String::into_bytes).collect()
    }),
    |data: &[u8]| {
        let Ok(text) = std::str::from_utf8(data) else {
            return;
        };
        bounded(data.len(), PER_BYTE, || {
            if let Some(path) = round_trip::<IpfsPath>(text) {
                assert!(path.to_string().starts_with("/ipfs/"));
            }
            if let Some(path) = round_trip::<IpnsPath>(text) {
                assert!(path.to_string().starts_with("/ipns/"));
            }
            if let Some(name) = round_trip::<IpnsName>(text) {
                assert!(name.as_str().len() <= IpnsName::MAX_LEN);
            }
        });
    }
);

fn round_trip<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = pinset::Error> + fmt::Display + fmt::Debug + PartialEq,
{
    match text.parse::<T>() {
        Ok(parsed) => {
            let written = parsed.to_string();
            let again = written.parse::<T>();
            assert!(again.is_ok_and(|again| again == parsed), "{written:?}");
            Some(parsed)
        }
        Err(error) => {
            assert!(error.to_string().chars().count() < 1000, "{error}");
            None
        }
    }
}
