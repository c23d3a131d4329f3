//! CARs of third parties: each is opened, and each of its blocks matches its CID.
//!
//! They are in the folder that `WASI_IPFS_FIXTURES` names, and are not part of the repository.

use std::{env, fs, path::PathBuf};

use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{BlockRequest, Cid, Holder, PinDepth, Pinner, PinnerError};
use pinner_car::CarPinner;

const RAW: u64 = 0x55;

/// The CARs, sorted by name. Without the folder: `None`, after a line that says so.
fn cars() -> Option<Vec<PathBuf>> {
    let Some(folder) = env::var_os("WASI_IPFS_FIXTURES") else {
        println!("NOT RUN: WASI_IPFS_FIXTURES does not name the folder of fixtures");
        return None;
    };
    let folder = PathBuf::from(folder).join("car");
    let mut cars: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "car"))
        .collect();
    cars.sort();
    assert!(!cars.is_empty(), "no CAR in {}", folder.display());
    Some(cars)
}

async fn check_blocks(pinner: &CarPinner) {
    assert_ne!(pinner.len(), 0);
    let mut total = 0;
    for info in pinner.blocks() {
        let cid = Cid::new_v1(RAW, info.multihash);
        let answer = pinner.block(&BlockRequest::new(cid)).await.unwrap();
        let block = answer.bytes;
        assert_eq!(block.len(), info.size_bytes as usize);
        let code = Code::try_from(info.multihash.code()).unwrap();
        assert_eq!(code.digest(&block), info.multihash);
        total += block.len() as u64;
    }
    assert_eq!(total, pinner.total_bytes());
}

#[tokio::test]
async fn every_block_of_every_car_is_read_and_is_what_its_cid_says() {
    let Some(cars) = cars() else { return };
    for path in &cars {
        let pinner = CarPinner::open([path]).await.unwrap();
        println!("{}: {} blocks", path.display(), pinner.len());
        check_blocks(&pinner).await;
    }
    let all = CarPinner::open(&cars).await.unwrap();
    check_blocks(&all).await;
    for root in CarPinner::open([&cars[0]]).await.unwrap().roots() {
        assert!(all.roots().contains(root));
    }
}

#[tokio::test]
async fn a_root_can_be_pinned_unless_its_dag_lacks_a_block() {
    let Some(cars) = cars() else { return };
    let holder = Holder::new([1; 8], [2; 16]);
    let (mut whole, mut partial) = (0, 0);
    for path in &cars {
        let pinner = CarPinner::open([path]).await.unwrap();
        let lacks_a_block = path.to_string_lossy().contains("missing-block");
        for root in pinner.roots() {
            match pinner.pin(&holder, root, PinDepth::Recursive).await {
                Ok(()) => {
                    assert!(!lacks_a_block, "{}", path.display());
                    whole += 1;
                }
                Err(PinnerError::NotFound { cid }) => {
                    assert!(!pinner.contains(&cid), "{}: {cid}", path.display());
                    partial += 1;
                }
                Err(other) => panic!("{}: {root}: {other}", path.display()),
            }
        }
    }
    assert_ne!(whole, 0);
    assert_ne!(partial, 0);
}
