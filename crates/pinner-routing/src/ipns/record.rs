//! [`IpnsRecord`]: a record whose signature is right.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use prost::Message;
use serde::{Deserialize, Deserializer, de::Visitor};

use super::{KeyName, MAX_RECORD, RecordError, Target, public_key::PublicKey, time};

/// The text before the data that is signed.
const SIGNED_FOR: &[u8] = b"ipns-signature:";

/// The only validity type: until a date.
const UNTIL_A_DATE: u64 = 0;

/// `IpnsEntry`. Its first fields are copies of those in `data`, for readers that know no other.
#[derive(Clone, PartialEq, Message)]
struct PbEntry {
    #[prost(bytes = "vec", optional, tag = "1")]
    value: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    signature_v1: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "3")]
    validity_type: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    validity: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "5")]
    sequence: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    ttl: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "7")]
    key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "8")]
    signature_v2: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "9")]
    data: Option<Vec<u8>>,
}

/// A record that the owner of a name signed.
#[derive(Clone, PartialEq, Eq)]
pub struct IpnsRecord {
    target: Target,
    sequence: u64,
    ttl: Option<Duration>,
    valid_until: SystemTime,
    bytes: Vec<u8>,
}

impl IpnsRecord {
    /// Returns the record in `bytes`, if the key of `name` signed it and it is in force at `now`.
    ///
    /// # Errors
    /// Every [`RecordError`].
    pub fn verified(name: &KeyName, bytes: &[u8], now: SystemTime) -> Result<Self, RecordError> {
        let record = Self::signed(name, bytes)?;
        record.in_force(now)?;
        Ok(record)
    }

    /// Returns the record in `bytes`, if the key of `name` signed it. It may have expired.
    ///
    /// # Errors
    /// Every [`RecordError`] except [`RecordError::Expired`].
    pub fn signed(name: &KeyName, bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::TooLarge {
                length: bytes.len(),
            });
        }
        let entry = PbEntry::decode(bytes);
        let entry = entry.map_err(|_| malformed("it is not a protobuf message"))?;
        let given = |field: &Option<Vec<u8>>| field.clone().filter(|bytes| !bytes.is_empty());
        let signature = given(&entry.signature_v2).ok_or(RecordError::NoSignature)?;
        let data = given(&entry.data).ok_or(RecordError::NoSignature)?;
        let key = match given(&entry.key) {
            Some(key) => key,
            None => name.inlined().ok_or(RecordError::WrongKey)?.to_vec(),
        };
        if !name.is_of(&key) {
            return Err(RecordError::WrongKey);
        }
        let key = PublicKey::decode(&key)?;
        if !key.signed(&[SIGNED_FOR, &data].concat(), &signature) {
            return Err(RecordError::WrongSignature);
        }
        // Nothing is parsed further that the owner has not signed.
        let data = Data::decode(&data)?;
        data.matches(&entry)?;
        if data.validity_type != UNTIL_A_DATE {
            return Err(RecordError::UnknownValidity {
                kind: data.validity_type,
            });
        }
        let until = std::str::from_utf8(&data.validity).ok();
        Ok(Self {
            target: Target::parse(&data.value)
                .ok_or(malformed("its value is not a path below /ipfs or /ipns"))?,
            sequence: data.sequence,
            ttl: data.ttl.map(Duration::from_nanos),
            valid_until: until
                .and_then(time::parse)
                .ok_or(malformed("its validity is not a date"))?,
            bytes: bytes.to_vec(),
        })
    }

    /// The path that it points to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Its number: the owner counts up with each change.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How long it may be kept before somebody is asked for a newer one, if it says so.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// The moment after which it no longer counts.
    pub fn valid_until(&self) -> SystemTime {
        self.valid_until
    }

    /// The record as it was sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is in force at `now`.
    ///
    /// # Errors
    /// [`RecordError::Expired`].
    pub fn in_force(&self, now: SystemTime) -> Result<(), RecordError> {
        match now.duration_since(self.valid_until) {
            Ok(ago) if !ago.is_zero() => Err(RecordError::Expired { ago }),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Whether it takes precedence over `other`: by its number, or by its end if the numbers are equal, as Kubo has it.
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.sequence, self.valid_until) > (other.sequence, other.valid_until)
    }
}

impl fmt::Debug for IpnsRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpnsRecord")
            .field("target", &self.target)
            .field("sequence", &self.sequence)
            .field("ttl", &self.ttl)
            .field("valid_until", &self.valid_until)
            .finish_non_exhaustive()
    }
}

/// The fields as they are encoded. All others are skipped without being decoded, since lists in them may claim any
/// length, each inside another.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fields {
    value: Option<Octets>,
    validity: Option<Octets>,
    validity_type: Option<u64>,
    sequence: Option<u64>,
    #[serde(rename = "TTL")]
    ttl: Option<u64>,
}

/// A byte string.
struct Octets(Vec<u8>);

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OctetsVisitor;

        impl Visitor<'_> for OctetsVisitor {
            type Value = Octets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Octets, E> {
                Ok(Octets(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(OctetsVisitor)
    }
}

/// The fields that are signed.
struct Data {
    value: Vec<u8>,
    validity: Vec<u8>,
    validity_type: u64,
    sequence: u64,
    ttl: Option<u64>,
}

impl Data {
    /// Reads DAG-CBOR. Fields that are not known are ignored, as the specification says.
    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let fields: Fields = serde_ipld_dagcbor::from_slice(bytes)
            .map_err(|_| malformed("its data is not a map in DAG-CBOR with the right types"))?;
        let bytes = |field: Option<Octets>| field.map(|Octets(bytes)| bytes);
        Ok(Self {
            value: bytes(fields.value).ok_or(malformed("its data has no value"))?,
            validity: bytes(fields.validity).ok_or(malformed("its data has no validity"))?,
            validity_type: fields
                .validity_type
                .ok_or(malformed("its data has no type of validity"))?,
            sequence: fields
                .sequence
                .ok_or(malformed("its data has no sequence number"))?,
            ttl: fields.ttl,
        })
    }

    /// Checks the copies for old readers, if the record has them.
    fn matches(&self, entry: &PbEntry) -> Result<(), RecordError> {
        let given = |field: &Option<Vec<u8>>| field.as_ref().is_some_and(|it| !it.is_empty());
        if !given(&entry.value) && !given(&entry.signature_v1) {
            return Ok(());
        }
        let value = entry.value.as_deref().unwrap_or_default();
        let validity = entry.validity.as_deref().unwrap_or_default();
        let field = if value != self.value {
            "value"
        } else if validity != self.validity {
            "validity"
        } else if entry.validity_type.unwrap_or(UNTIL_A_DATE) != self.validity_type {
            "validityType"
        } else if entry.sequence.unwrap_or(0) != self.sequence {
            "sequence"
        } else if entry.ttl.unwrap_or(0) != self.ttl.unwrap_or(0) {
            "ttl"
        } else {
            return Ok(());
        };
        Err(RecordError::Contradiction { field })
    }
}

fn malformed(reason: &'static str) -> RecordError {
    RecordError::Malformed { reason }
}
