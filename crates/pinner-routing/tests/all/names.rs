//! Names: by which records they are resolved, and by which ones they are not.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use pinner_api::{Names, PinnerError};
use pinner_routing::{IpnsResolver, IpnsResolverBuilder, RoutingError};
use tokio::time::Instant;
use toy_http::{Asked, Reply, Step, ToyServer};

use crate::{
    over,
    owner::{Owner, Record},
    serve,
};

const CID: &str = "bafkqaddwgevxmmraojswg33smq";
const RECORD: &str = "application/vnd.ipfs.ipns-record";

/// The records of a server, by name.
type Shelf = Arc<Mutex<HashMap<String, Vec<u8>>>>;

fn shelf() -> Shelf {
    Shelf::default()
}

fn put(shelf: &Shelf, owner: &Owner, record: &Record) {
    let name = owner.name().to_string();
    shelf
        .lock()
        .expect("no panic")
        .insert(name, owner.sign(record));
}

fn answer(shelf: &Shelf, asked: &Asked) -> Reply {
    match shelf.lock().expect("no panic").get(asked.last_segment()) {
        Some(record) => Reply::ok(RECORD, record),
        None => Reply::with(404, &[], "not found"),
    }
}

/// A server of the records on a shelf: a router and a gateway.
async fn serving(shelf: &Shelf) -> ToyServer {
    let shelf = shelf.clone();
    serve(move |asked| answer(&shelf, asked)).await
}

fn resolver(router: &ToyServer) -> IpnsResolverBuilder {
    IpnsResolver::builder().routing(over(&[router]).build().expect("a router"))
}

fn path(value: &str) -> Record {
    Record::to(value, 1)
}

async fn resolve(resolver: &IpnsResolver, name: &str) -> Result<(String, String), PinnerError> {
    let resolved = resolver.resolve(name).await?;
    Ok((resolved.root.to_string(), resolved.path))
}

#[tokio::test]
async fn a_router_and_a_gateway_are_asked_as_the_specifications_say() {
    let (owner, records) = (Owner::new(1), shelf());
    put(&records, &owner, &path(&format!("/ipfs/{CID}/a/b")));
    let (router, gateway) = (serving(&records).await, serving(&shelf()).await);
    let names = resolver(&router)
        .allow_loopback()
        .gateway(gateway.url().parse().unwrap());
    let names = names.build().unwrap();
    let name = owner.name().to_string();
    let resolved = names.resolve(&name).await.unwrap();
    assert_eq!(
        (resolved.root.to_string().as_str(), &*resolved.path),
        (CID, "a/b")
    );
    assert_eq!(resolved.ttl, Some(Duration::from_secs(60)));
    let (routed, direct) = (&router.requests()[0], &gateway.requests()[0]);
    assert_eq!(routed.target, format!("/routing/v1/ipns/{name}"));
    assert_eq!(direct.target, format!("/ipns/{name}?format=ipns-record"));
    for asked in [routed, direct] {
        assert_eq!(asked.header("accept"), Some(RECORD));
    }
    // A gateway alone is enough.
    let only = serving(&records).await;
    let names = IpnsResolver::builder()
        .allow_loopback()
        .gateway(only.url().parse().unwrap());
    let resolved = resolve(&names.build().unwrap(), &name).await.unwrap();
    assert_eq!(resolved, (CID.to_owned(), "a/b".to_owned()));
}

#[tokio::test]
async fn the_newest_of_several_records_counts_and_liars_do_not() {
    let (owner, other) = (Owner::new(1), Owner::new(2));
    let [old, new, foreign] = [shelf(), shelf(), shelf()];
    put(&old, &owner, &Record::to(&format!("/ipfs/{CID}/old"), 3));
    put(&new, &owner, &Record::to(&format!("/ipfs/{CID}/new"), 4));
    // Signed by somebody else, with the highest number.
    let lie = other.sign(&Record::to(&format!("/ipfs/{CID}/lie"), 9));
    foreign
        .lock()
        .unwrap()
        .insert(owner.name().to_string(), lie);
    let [old, new, foreign] = [
        serving(&old).await,
        serving(&new).await,
        serving(&foreign).await,
    ];
    let broken = serve(|_| Reply::with(500, &[], "")).await;
    let hanging = serve(|_| Reply::of([Step::Hang])).await;
    let routing = over(&[&hanging, &old, &foreign, &new, &broken])
        .build()
        .unwrap();
    let names = IpnsResolver::builder().routing(routing).build().unwrap();
    let began = Instant::now();
    let (_, path) = resolve(&names, owner.name().as_str()).await.unwrap();
    assert_eq!(path, "new");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let alone = resolver(&foreign).build().unwrap();
    let error = resolve(&alone, owner.name().as_str()).await.unwrap_err();
    assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("signature"), "{error}");
}

#[tokio::test]
async fn an_older_record_is_refused_after_a_restart_too() {
    let (owner, records) = (Owner::new(1), shelf());
    let dir = tempfile::tempdir().unwrap();
    let server = serving(&records).await;
    let kept = dir.path().join("ipns");
    // Each resolver is a process of its own.
    let resolve_now = async || {
        let names = resolver(&server).keep_in(&kept).build().unwrap();
        resolve(&names, owner.name().as_str()).await
    };
    let of = |name: &str, number| Record::to(&format!("/ipfs/{CID}/{name}"), number);
    put(&records, &owner, &of("two", 2));
    assert_eq!(resolve_now().await.unwrap().1, "two");
    put(&records, &owner, &of("one", 1));
    assert_eq!(
        resolve_now().await.unwrap().1,
        "two",
        "the kept one is in force"
    );
    put(&records, &owner, &of("three", 3));
    assert_eq!(resolve_now().await.unwrap().1, "three");
    put(&records, &owner, &of("two", 2));
    assert_eq!(resolve_now().await.unwrap().1, "three");
    // One that ends earlier, under the same number, is older too.
    put(
        &records,
        &owner,
        &of("early", 3).until("2122-01-01T00:00:00Z"),
    );
    assert_eq!(resolve_now().await.unwrap().1, "three");
    let file = kept.join(owner.name().as_str());
    assert!(file.is_file());
    // An expired one is not used, and says still what is too old.
    let expired = owner.sign(&of("four", 4).until("2020-01-01T00:00:00Z"));
    std::fs::write(&file, expired).unwrap();
    let error = resolve_now().await.unwrap_err();
    assert!(error.to_string().contains("sequence number 3"), "{error}");
    put(&records, &owner, &of("five", 5));
    assert_eq!(resolve_now().await.unwrap().1, "five");
    // Garbage, or somebody else's record, is as good as none.
    for rotten in [
        b"garbage".to_vec(),
        vec![0; 1 << 20],
        Owner::new(2).sign(&of("x", 9)),
    ] {
        std::fs::write(&file, rotten).unwrap();
        assert_eq!(resolve_now().await.unwrap().1, "five");
    }
    // A directory that cannot be used is an error, not a reason to believe.
    std::fs::remove_dir_all(&kept).unwrap();
    std::fs::write(&kept, "a file").unwrap();
    let error = resolve_now().await.unwrap_err();
    assert!(
        matches!(error, PinnerError::Unavailable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn records_may_point_to_each_other_but_not_for_ever() {
    let records = shelf();
    let owners: Vec<_> = (0..40).map(Owner::new).collect();
    for (place, owner) in owners.iter().enumerate() {
        let value = match owners.get(place + 1) {
            Some(next) => format!("/ipns/{}/{place}", next.name()),
            None => format!("/ipfs/{CID}/end"),
        };
        put(&records, owner, &path(&value));
    }
    let server = serving(&records).await;
    let names = resolver(&server).build().unwrap();
    let (root, path_found) = resolve(&names, owners[37].name().as_str()).await.unwrap();
    assert_eq!((root.as_str(), path_found.as_str()), (CID, "end/38/37"));
    assert!(
        resolve(&names, owners[8].name().as_str()).await.is_ok(),
        "32 records"
    );
    let error = resolve(&names, owners[7].name().as_str())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("32 records"), "{error}");
    // A circle.
    put(
        &records,
        &owners[1],
        &path(&format!("/ipns/{}", owners[1].name())),
    );
    let error = resolve(&names, owners[1].name().as_str())
        .await
        .unwrap_err();
    assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn names_that_nobody_signs_are_refused_by_name() {
    let (owner, records) = (Owner::new(1), shelf());
    put(&records, &owner, &path("/ipns/docs.example.org/a"));
    let server = serving(&records).await;
    let names = resolver(&server).build().unwrap();
    for name in ["example.org", owner.name().as_str()] {
        let error = resolve(&names, name).await.unwrap_err();
        assert!(matches!(error, PinnerError::Denied { .. }), "{error:?}");
        assert!(error.to_string().contains("DNSLink"), "{error}");
    }
    assert_eq!(server.requests().len(), 1);
    for name in ["", "nonsense", "..", "a/b", "bafkqaddwgevxmmraojswg33smq"] {
        let error = resolve(&names, name).await.unwrap_err();
        assert!(
            matches!(error, PinnerError::NameNotFound { .. }),
            "{name}: {error:?}"
        );
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_absence_is_not_a_failure_and_the_reverse() {
    let name = Owner::new(1).name();
    let fails = |reply: Reply| async {
        let server = serve(move |_| reply.clone()).await;
        let names = resolver(&server)
            .deadline(Duration::from_secs(2))
            .build()
            .unwrap();
        resolve(&names, name.as_str()).await.unwrap_err()
    };
    // The specification says to read a web page of a router as no record.
    for reply in [Reply::with(404, &[], ""), Reply::ok("text/html", "<html>")] {
        let error = fails(reply).await;
        assert!(
            matches!(error, PinnerError::NameNotFound { .. }),
            "{error:?}"
        );
    }
    for reply in [
        Reply::with(500, &[], ""),
        Reply::of([Step::Close]),
        Reply::of([Step::Hang]),
    ] {
        let error = fails(reply).await;
        assert!(error.may_pass(), "{error:?}");
    }
    let expired = Owner::new(1).sign(&path(&format!("/ipfs/{CID}")).until("2020-01-01T00:00:00Z"));
    for reply in [
        Reply::ok(RECORD, expired),
        Reply::ok(RECORD, ""),
        Reply::ok(RECORD, "garbage"),
    ] {
        let error = fails(reply).await;
        assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    }
    let large = fails(Reply::ok(RECORD, vec![0; 10 * 1024 + 1])).await;
    assert!(!large.is_absence(), "{large:?}");
    assert!(matches!(
        IpnsResolver::builder().build(),
        Err(RoutingError::Nobody)
    ));
    let plain = IpnsResolver::builder().gateway("http://gateway.example".parse().unwrap());
    assert!(matches!(
        plain.build(),
        Err(RoutingError::NotEncrypted { .. })
    ));
}
