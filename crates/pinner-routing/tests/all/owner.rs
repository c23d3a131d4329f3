//! The owner of a name, who signs records.

use std::collections::BTreeMap;

use cid::{Cid, multibase::Base, multihash::Multihash};
use ipld_core::ipld::Ipld;
use pinner_routing::ipns::KeyName;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// An Ed25519 key.
pub(crate) struct Owner {
    key: Ed25519KeyPair,
}

/// The contents of a record.
pub(crate) struct Record {
    pub(crate) data: BTreeMap<String, Ipld>,
    /// Fields before the signature, as protobuf.
    pub(crate) before: Vec<u8>,
}

impl Record {
    pub(crate) fn to(value: &str, sequence: u64) -> Self {
        let data = [
            ("Value", Ipld::Bytes(value.into())),
            ("Validity", Ipld::Bytes("2123-08-14T12:17:03.5Z".into())),
            ("ValidityType", Ipld::Integer(0)),
            ("Sequence", Ipld::Integer(sequence.into())),
            ("TTL", Ipld::Integer(60_000_000_000)),
        ];
        Self {
            data: data.map(|(name, value)| (name.to_owned(), value)).into(),
            before: Vec::new(),
        }
    }

    /// With another field in the signed data.
    pub(crate) fn with(mut self, name: &str, value: Ipld) -> Self {
        self.data.insert(name.to_owned(), value);
        self
    }

    /// With a validity until this date.
    pub(crate) fn until(self, date: &str) -> Self {
        self.with("Validity", Ipld::Bytes(date.into()))
    }

    /// With these bytes as a field outside of the signed data.
    pub(crate) fn field(mut self, number: u8, bytes: &[u8]) -> Self {
        self.before.extend(field(number, bytes));
        self
    }

    /// With this number as a field outside of the signed data.
    pub(crate) fn number(mut self, number: u8, value: u64) -> Self {
        self.before.push(number << 3);
        self.before.extend(varint(value));
        self
    }
}

impl Owner {
    pub(crate) fn new(seed: u8) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]);
        Self {
            key: key.expect("a seed"),
        }
    }

    /// The key as IPNS serializes it.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        let key = self.key.public_key().as_ref();
        [&[0x08, 0x01, 0x12, 0x20], key].concat()
    }

    pub(crate) fn name(&self) -> KeyName {
        name_of(&self.public_key())
    }

    pub(crate) fn sign(&self, record: &Record) -> Vec<u8> {
        let data = serde_ipld_dagcbor::to_vec(&record.data).expect("it goes into memory");
        let signed = [b"ipns-signature:".as_slice(), &data].concat();
        let signature = self.key.sign(&signed);
        [
            record.before.clone(),
            field(8, signature.as_ref()),
            field(9, &data),
        ]
        .concat()
    }
}

/// The name that has this key inlined.
pub(crate) fn name_of(key: &[u8]) -> KeyName {
    let hash = Multihash::<64>::wrap(0, key).expect("it fits");
    let text = Cid::new_v1(0x72, hash).to_string_of_base(Base::Base36Lower);
    text.expect("a base").parse().expect("a name")
}

pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    field.extend(varint(bytes.len() as u64));
    field.extend_from_slice(bytes);
    field
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
