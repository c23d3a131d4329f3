//! Public keys as IPNS serializes them, and the check of a signature.

use prost::Message;
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::RecordError;

/// The numbers of the types of keys in a serialized key.
const RSA: u64 = 0;
const ED25519_KEY: u64 = 1;
const SECP256K1: u64 = 2;
const ECDSA: u64 = 3;

/// `PublicKey`. The type is a plain number here, so that an unknown type is distinct from a missing one.
#[derive(Clone, PartialEq, Message)]
struct PbKey {
    #[prost(uint64, optional, tag = "1")]
    kind: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "2")]
    data: Option<Vec<u8>>,
}

/// A key that can check signatures.
#[derive(Debug)]
pub(super) enum PublicKey {
    Ed25519(Vec<u8>),
    /// `RSAPublicKey` of PKCS #1, in DER.
    Rsa(Vec<u8>),
}

impl PublicKey {
    /// Reads a serialized key.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let wrong = |reason| RecordError::Malformed { reason };
        let key = PbKey::decode(bytes).map_err(|_| wrong("its key is not a protobuf message"))?;
        let data = key.data.ok_or(wrong("its key has no data"))?;
        match key.kind {
            Some(ED25519_KEY) if data.len() == 32 => Ok(Self::Ed25519(data)),
            Some(ED25519_KEY) => Err(wrong("its Ed25519 key is not of 32 bytes")),
            Some(RSA) => match rsa_within(&data) {
                Some(key) => Ok(Self::Rsa(key.to_vec())),
                None => Err(wrong("its RSA key is not one in DER")),
            },
            Some(SECP256K1) => Err(RecordError::UnsupportedKey { kind: "secp256k1" }),
            Some(ECDSA) => Err(RecordError::UnsupportedKey { kind: "ECDSA" }),
            Some(_) | None => Err(RecordError::UnsupportedKey { kind: "unknown" }),
        }
    }

    /// Whether the key made this signature of `message`. RSA keys of fewer than 2048 bits make none that count.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let checked = match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rsa(key) => {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message, signature)
            }
        };
        checked.is_ok()
    }
}

/// The PKCS #1 key in a `SubjectPublicKeyInfo` (X.509) of an RSA key.
fn rsa_within(info: &[u8]) -> Option<&[u8]> {
    /// `rsaEncryption` with its empty parameters.
    const ALGORITHM: &[u8] = &[
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    let (fields, rest) = der(SEQUENCE, info)?;
    let (algorithm, fields) = der(SEQUENCE, fields)?;
    let (bits, after) = der(BIT_STRING, fields)?;
    let (unused_bits, key) = bits.split_first()?;
    let sound = algorithm == ALGORITHM && *unused_bits == 0 && rest.is_empty() && after.is_empty();
    sound.then_some(key)
}

/// The contents of the DER value with this tag that `bytes` start with, and the bytes behind it.
fn der(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, bytes) = bytes.split_first()?;
    let (short, bytes) = bytes.split_first()?;
    let (length, bytes) = match *short {
        short @ 0..=0x7f => (usize::from(short), bytes),
        0x81 => {
            let (length, bytes) = bytes.split_first()?;
            (usize::from(*length), bytes)
        }
        0x82 => {
            let (length, bytes) = bytes.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), bytes)
        }
        // A key in a record of 10 KiB needs no longer one.
        _ => return None,
    };
    (*first == tag && length <= bytes.len()).then(|| bytes.split_at(length))
}
