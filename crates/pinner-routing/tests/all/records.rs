//! Records: those of gateway-conformance, and some of our own that are wrong in each possible way.

use std::time::{Duration, SystemTime};

use ipld_core::ipld::Ipld;
use pinner_routing::ipns::{IpnsRecord, KeyName, MAX_RECORD, RecordError, Target};

use crate::owner::{Owner, Record, field, name_of};

/// A record of gateway-conformance: its name, its outcome, its bytes.
fn others() -> Vec<(KeyName, &'static str, Vec<u8>)> {
    let table = include_str!("../../data/ipns-records.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let cells: Vec<_> = row.split('\t').collect();
        let hex = cells[2].as_bytes().chunks(2);
        let byte = |hex: &[u8]| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
        (cells[0].parse().unwrap(), cells[1], hex.map(byte).collect())
    })
    .collect()
}

/// The path that a target stands for.
fn path(target: &Target) -> String {
    match target {
        Target::Content { root, path } if path.is_empty() => format!("/ipfs/{root}"),
        Target::Content { root, path } => format!("/ipfs/{root}/{path}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_records_of_gateway_conformance_have_the_outcomes_that_are_written_there() {
    let others = others();
    assert_eq!(others.len(), 12);
    for (name, outcome, bytes) in &others {
        let record = IpnsRecord::verified(name, bytes, SystemTime::now());
        match (*outcome, record) {
            ("wrong signature", Err(RecordError::WrongSignature))
            | ("contradiction", Err(RecordError::Contradiction { field: "value" }))
            | ("no signature", Err(RecordError::NoSignature)) => {}
            (value, Ok(record)) => {
                assert_eq!(path(record.target()), value, "{name}");
                assert_eq!(record.as_bytes(), bytes);
                assert!(record.ttl() > Some(Duration::ZERO), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
        // Nobody else's name has this record.
        for (other, ..) in others.iter().filter(|(other, ..)| other != name) {
            let record = IpnsRecord::signed(other, bytes);
            assert!(record.is_err(), "{name} as {other}: {record:?}");
        }
    }
}

#[test]
fn no_changed_byte_changes_what_a_record_says() {
    for (name, _, bytes) in others() {
        let Ok(record) = IpnsRecord::signed(&name, &bytes) else {
            continue;
        };
        // An RSA key takes longer to check.
        let step = bytes.len() / 300 + 1;
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let Ok(other) = IpnsRecord::signed(&name, &changed) else {
                continue;
            };
            assert_eq!(
                (
                    other.target(),
                    other.sequence(),
                    other.ttl(),
                    other.valid_until()
                ),
                (
                    record.target(),
                    record.sequence(),
                    record.ttl(),
                    record.valid_until()
                ),
                "{name}: byte {at}"
            );
        }
        for length in (0..bytes.len()).step_by(step) {
            let cut = IpnsRecord::signed(&name, &bytes[..length]);
            assert!(cut.is_err(), "{name}: cut to {length} bytes");
        }
    }
}

const VALUE: &str = "/ipfs/bafkqaddwgevxmmraojswg33smq";

#[test]
fn a_record_says_what_its_owner_signed() {
    let owner = Owner::new(1);
    let record = owner.sign(&Record::to(VALUE, 7).with("_more", Ipld::List(vec![])));
    let record = IpnsRecord::verified(&owner.name(), &record, SystemTime::now()).unwrap();
    assert_eq!(path(record.target()), VALUE);
    assert_eq!(
        (record.sequence(), record.ttl()),
        (7, Some(Duration::from_secs(60)))
    );
    let year = Duration::from_secs(365 * 24 * 3600);
    assert!(record.valid_until() > SystemTime::UNIX_EPOCH + 153 * year);
    // A key that is repeated is the same key, and the time to live may be missing.
    let mut again = Record::to(VALUE, 8).field(7, &owner.public_key());
    again.data.remove("TTL");
    let newer = IpnsRecord::signed(&owner.name(), &owner.sign(&again)).unwrap();
    assert_eq!(newer.ttl(), None);
    assert!(newer.supersedes(&record) && !record.supersedes(&newer));
    assert!(!record.supersedes(&record));
}

#[test]
fn what_contradicts_the_signed_data_is_refused() {
    let owner = Owner::new(1);
    let validity = b"2123-08-14T12:17:03.5Z";
    let copies = |value: &[u8], validity: &[u8], kind, sequence, ttl| {
        let record = Record::to(VALUE, 7).field(1, value).field(4, validity);
        let record = record.number(3, kind).number(5, sequence).number(6, ttl);
        IpnsRecord::signed(&owner.name(), &owner.sign(&record))
    };
    let (value, minute) = (VALUE.as_bytes(), 60_000_000_000);
    assert!(copies(value, validity, 0, 7, minute).is_ok());
    for (record, wanted) in [
        (copies(b"/ipfs/x", validity, 0, 7, minute), "value"),
        (
            copies(value, b"2124-01-01T00:00:00Z", 0, 7, minute),
            "validity",
        ),
        (copies(value, validity, 1, 7, minute), "validityType"),
        (copies(value, validity, 0, 8, minute), "sequence"),
        (copies(value, validity, 0, 7, 1), "ttl"),
    ] {
        let field = wanted;
        assert_eq!(record, Err(RecordError::Contradiction { field }));
    }
    // A signature of version 1 alone asks for the comparison too.
    let old = owner.sign(&Record::to(VALUE, 7).field(2, b"signature"));
    let old = IpnsRecord::signed(&owner.name(), &old);
    assert_eq!(old, Err(RecordError::Contradiction { field: "value" }));
}

#[test]
fn what_is_signed_and_still_wrong_is_refused() {
    let owner = Owner::new(1);
    let of = |record: Record| IpnsRecord::signed(&owner.name(), &owner.sign(&record));
    for (name, value) in [
        ("Value", Ipld::Bytes("/ipfs/nonsense".into())),
        ("Value", Ipld::String(VALUE.into())),
        ("Validity", Ipld::Bytes("tomorrow".into())),
        ("Validity", Ipld::Bytes(vec![0xff; 20])),
        ("Sequence", Ipld::Integer(-1)),
        ("Sequence", Ipld::Null),
        ("ValidityType", Ipld::String("0".into())),
    ] {
        let record = of(Record::to(VALUE, 7).with(name, value));
        assert!(
            matches!(record, Err(RecordError::Malformed { .. })),
            "{name}: {record:?}"
        );
    }
    let unknown = of(Record::to(VALUE, 7).with("ValidityType", Ipld::Integer(1)));
    assert_eq!(unknown, Err(RecordError::UnknownValidity { kind: 1 }));
    let large = of(Record::to(VALUE, 7).with("_more", Ipld::Bytes(vec![0; MAX_RECORD])));
    assert!(
        matches!(large, Err(RecordError::TooLarge { .. })),
        "{large:?}"
    );
}

#[test]
fn a_record_ends_at_its_date() {
    let owner = Owner::new(1);
    let record = owner.sign(&Record::to(VALUE, 7).until("2001-09-09T01:46:40Z"));
    let name = owner.name();
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    assert!(IpnsRecord::verified(&name, &record, end).is_ok());
    let ago = Duration::from_secs(3);
    let late = IpnsRecord::verified(&name, &record, end + ago);
    assert_eq!(late, Err(RecordError::Expired { ago }));
    assert!(IpnsRecord::signed(&name, &record).is_ok());
}

#[test]
fn other_keys_are_refused_and_some_by_name() {
    let (owner, other) = (Owner::new(1), Owner::new(2));
    let foreign = other.sign(&Record::to(VALUE, 7));
    let foreign = IpnsRecord::signed(&owner.name(), &foreign);
    assert_eq!(foreign, Err(RecordError::WrongSignature));
    let swapped = other.sign(&Record::to(VALUE, 7).field(7, &other.public_key()));
    let swapped = IpnsRecord::signed(&owner.name(), &swapped);
    assert_eq!(swapped, Err(RecordError::WrongKey));
    // A name that is a hash does not say what the key is.
    let hash: KeyName = "QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3"
        .parse()
        .unwrap();
    let without = IpnsRecord::signed(&hash, &owner.sign(&Record::to(VALUE, 7)));
    assert_eq!(without, Err(RecordError::WrongKey));
    for (kind, wanted) in [(2, "secp256k1"), (3, "ECDSA"), (9, "unknown")] {
        let key = [&[0x08, kind][..], &field(2, &[1; 33])].concat();
        let record = owner.sign(&Record::to(VALUE, 7));
        let record = IpnsRecord::signed(&name_of(&key), &record);
        assert_eq!(record, Err(RecordError::UnsupportedKey { kind: wanted }));
    }
    for key in [
        vec![0x08],
        vec![0x08, 0x01],
        [&[0x08, 1][..], &field(2, &[1; 31])].concat(),
    ] {
        let record = IpnsRecord::signed(&name_of(&key), &owner.sign(&Record::to(VALUE, 7)));
        assert!(
            matches!(record, Err(RecordError::Malformed { .. })),
            "{record:?}"
        );
    }
}
