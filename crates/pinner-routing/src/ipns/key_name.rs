//! [`KeyName`]: a name that is the hash of a public key.

use std::{fmt, str::FromStr, sync::Arc};

use cid::{
    Cid,
    multibase::{self, Base},
};
use multihash::Multihash;
use ring::digest;

/// The codec of CIDs that are names of keys.
const LIBP2P_KEY: u64 = 0x72;
/// The multihash codes of names: the key itself, if it is short, or its SHA-256.
const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;

/// The longest text that is read as a name, in bytes. A name of an Ed25519 key has 62.
const MAX_TEXT: usize = 255;

/// An IPNS name: the multihash of a public key.
///
/// Parsed from a CID with the codec `libp2p-key` in any base (`k51…`, `bafz…`) or from a peer ID (`12D3Koo…`, `Qm…`).
/// All spellings of a key are equal. It is displayed as a CID in base 36, as Kubo shows it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName {
    hash: Multihash<64>,
    text: Arc<str>,
}

impl KeyName {
    /// The name in base 36: lower-case letters and digits alone.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The key in the name itself, serialized, if it is short enough to be there.
    pub(super) fn inlined(&self) -> Option<&[u8]> {
        (self.hash.code() == IDENTITY).then(|| self.hash.digest())
    }

    /// Whether this is the name of the serialized `key`.
    pub(super) fn is_of(&self, key: &[u8]) -> bool {
        match self.inlined() {
            Some(inlined) => inlined == key,
            None => digest::digest(&digest::SHA256, key).as_ref() == self.hash.digest(),
        }
    }

    fn of_hash(hash: Multihash<64>) -> Result<Self, ParseKeyNameError> {
        let length = usize::from(hash.size());
        match hash.code() {
            IDENTITY if length > 0 => {}
            SHA2_256 if length == 32 => {}
            _ => return Err(ParseKeyNameError("it is not a hash of a public key")),
        }
        let text = Cid::new_v1(LIBP2P_KEY, hash).to_string_of_base(Base::Base36Lower);
        let text = text.map_err(|_| ParseKeyNameError("it has no text in base 36"))?;
        Ok(Self {
            hash,
            text: text.into(),
        })
    }
}

/// The error for a text that is not a [`KeyName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a key: {0}; expected k51…, bafz…, 12D3Koo… or Qm…")]
pub struct ParseKeyNameError(&'static str);

impl FromStr for KeyName {
    type Err = ParseKeyNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(ParseKeyNameError("it is empty or too long"));
        }
        // Peer IDs are multihashes in base 58 without a prefix. No CID of version 1 starts like them.
        if text.starts_with("Qm") || text.starts_with('1') {
            let bytes = Base::Base58Btc.decode(text);
            let bytes = bytes.map_err(|_| ParseKeyNameError("it is not in base 58"))?;
            let hash = Multihash::from_bytes(&bytes);
            return Self::of_hash(hash.map_err(|_| ParseKeyNameError("it is not a multihash"))?);
        }
        let decoded = multibase::decode(text);
        let (_, bytes) = decoded.map_err(|_| ParseKeyNameError("it is in no known base"))?;
        let cid = Cid::try_from(bytes.as_slice());
        let cid = cid.map_err(|_| ParseKeyNameError("it is not a CID"))?;
        if cid.codec() != LIBP2P_KEY || cid.encoded_len() != bytes.len() {
            return Err(ParseKeyNameError("it is not a CID of a key"));
        }
        Self::of_hash(*cid.hash())
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_key_are_one_name() {
        // An Ed25519 key as a peer ID, and an RSA key.
        for (peer, length) in [
            ("12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d", 62),
            ("QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3", 56),
        ] {
            let name: KeyName = peer.parse().expect(peer);
            assert!(
                name.as_str().starts_with('k') && name.as_str().len() == length,
                "{name}"
            );
            let cid = Cid::new_v1(LIBP2P_KEY, name.hash);
            for text in [
                name.to_string(),
                cid.to_string(),
                cid.to_string_of_base(Base::Base58Btc).expect("a base"),
            ] {
                assert_eq!(text.parse().as_ref(), Ok(&name), "{text}");
            }
        }
    }

    #[test]
    fn what_names_no_key_is_refused() {
        let hash = *"12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d"
            .parse::<KeyName>()
            .map(|name| Box::new(name.hash))
            .expect("a key");
        let raw = Cid::new_v1(0x55, hash).to_string();
        let mut longer = Cid::new_v1(LIBP2P_KEY, hash).to_bytes();
        longer.push(0);
        let longer = multibase::encode(Base::Base32Lower, longer);
        let empty = Multihash::wrap(IDENTITY, &[]).expect("it fits");
        let empty = Cid::new_v1(LIBP2P_KEY, empty).to_string();
        let short = Multihash::wrap(SHA2_256, &[1; 31]).expect("it fits");
        let short = Cid::new_v1(LIBP2P_KEY, short).to_string();
        let other = Multihash::wrap(0x1e, &[1; 32]).expect("it fits");
        let other = Cid::new_v1(LIBP2P_KEY, other).to_string();
        for text in [
            "",
            "example.org",
            "k51",
            "Qm",
            "1",
            "é",
            "12D3KooW/..",
            &raw,
            &longer,
            &empty,
            &short,
            &other,
            &"k".repeat(256),
        ] {
            assert!(text.parse::<KeyName>().is_err(), "{text}");
        }
    }
}
