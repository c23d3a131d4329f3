//! Any bytes as an IPNS record, as data that a key has signed, and as a name.
//!
//! A record that is accepted says what it says, again and again; and none is accepted for the name of another key. Most
//! of a record is behind its signature, so inputs are signed here as well: as the data of a record, with the copies of
//! fields that the rest of the input has.

#![no_main]

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use fuzzed::{memory::bounded, seeds};
use libfuzzer_sys::fuzz_target;
use pinner_routing::ipns::{IpnsRecord, KeyName, MAX_RECORD};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// A record is kept, with its fields and its data decoded.
const PER_BYTE: usize = 256;

/// The records of gateway-conformance.
const OTHERS: &str = include_str!("../../crates/pinner-routing/data/ipns-records.tsv");

struct Owner {
    key: Ed25519KeyPair,
    name: KeyName,
    /// The names of the records of others.
    others: Vec<KeyName>,
}

static OWNER: LazyLock<Owner> = LazyLock::new(|| {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed");
    let public = [
        [0x08, 0x01, 0x12, 0x20].as_slice(),
        key.public_key().as_ref(),
    ]
    .concat();
    // A peer ID: an identity multihash of the key, in a CID of version 1 with the codec of keys, in base 16.
    let hex: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("f01720024{hex}").parse().expect("a name");
    let rows = rows().into_iter().map(|(name, _)| name);
    Owner {
        key,
        name,
        others: rows.collect(),
    }
});

fuzz_target!(
    init: seeds::write_if_asked(records),
    |data: &[u8]| {
        let owner = &*OWNER;
        bounded(data.len(), PER_BYTE, || check(owner, data));
    }
);

fn rows() -> Vec<(KeyName, Vec<u8>)> {
    let rows = OTHERS.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| {
        let cells: Vec<_> = row.split('\t').collect();
        let hex = cells.get(2)?.as_bytes().chunks(2);
        let byte = |hex: &[u8]| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok();
        let bytes = hex.map(byte).collect::<Option<_>>()?;
        Some((cells[0].parse().ok()?, bytes))
    })
    .collect()
}

/// The records of others, the data in them with its length before it, and names.
fn records() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (name, bytes) in rows() {
        seeds.push(name.to_string().into_bytes());
        // The signed data comes last in all of them, and begins as a map of five.
        if let Some(at) = bytes.windows(5).position(|it| it == b"\xa5cTTL") {
            let data = &bytes[at..];
            let copies = &bytes[..at];
            let length = u16::try_from(data.len()).unwrap_or(0).to_be_bytes();
            seeds.push([&length[..], data, copies].concat());
        }
        seeds.push(bytes);
    }
    seeds
}

fn check(owner: &Owner, input: &[u8]) {
    for name in owner.others.iter().chain([&owner.name]) {
        consistent(name, input);
    }
    if let Some((length, rest)) = input.split_first_chunk::<2>() {
        let (data, copies) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
        consistent(&owner.name, &signed(owner, data, copies));
        for other in &owner.others {
            assert!(IpnsRecord::signed(other, &signed(owner, data, copies)).is_err());
        }
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(name) = text.parse::<KeyName>()
    {
        let shown = name.as_str();
        assert!(
            shown
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        );
        assert_eq!(shown.parse(), Ok(name.clone()));
    }
}

/// A record with this data, signed, and these fields before it.
fn signed(owner: &Owner, data: &[u8], copies: &[u8]) -> Vec<u8> {
    let signature = owner
        .key
        .sign(&[b"ipns-signature:".as_slice(), data].concat());
    [copies, &field(8, signature.as_ref()), &field(9, data)].concat()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

/// Asserts that a record that is accepted is one, and says the same again.
fn consistent(name: &KeyName, bytes: &[u8]) {
    let Ok(record) = IpnsRecord::signed(name, bytes) else {
        return;
    };
    assert!(bytes.len() <= MAX_RECORD && record.as_bytes() == bytes);
    assert_eq!(
        IpnsRecord::signed(name, record.as_bytes()).as_ref(),
        Ok(&record)
    );
    assert!(!record.supersedes(&record));
    let until = record.valid_until();
    assert!(record.in_force(until).is_ok());
    if let Some(after) = until.checked_add(Duration::from_nanos(1)) {
        assert!(record.in_force(after).is_err());
    }
    let now = IpnsRecord::verified(name, bytes, SystemTime::UNIX_EPOCH);
    assert_eq!(now.is_ok(), until >= SystemTime::UNIX_EPOCH);
}
