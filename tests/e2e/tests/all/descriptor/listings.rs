//! The entries of a directory, as a guest pulls them.

use super::*;

/// Each entry of a listing has the type that a native listing gives it.
#[tokio::test]
async fn a_listing_has_the_types_of_a_native_one() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    for path in [".", "docs", "empty-dir", "links", "many", "sharded"] {
        let mut listings = Vec::new();
        for dir in guest.opens(path).await {
            let mut view = guest.view();
            let stream = code(view.read_directory(fd(dir)).await).expect("a listing");
            let mut listing = Vec::new();
            while let Some(entry) = code(
                view.read_directory_entry(Resource::new_borrow(stream.rep()))
                    .await,
            )
            .expect("an entry")
            {
                listing.push((entry.name, entry.type_));
            }
            close_listing(&mut view, stream);
            listing.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            listings.push(listing);
        }
        assert_eq!(listings[0], listings[1], "{path}");
    }
}

/// The order is the content's own, so it is the same on every host and at every time.
#[tokio::test]
async fn a_listing_has_the_order_of_the_content() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let dir = guest.open(guest.ours, "many").await;
    let mut view = guest.view();
    let stream = code(view.read_directory(fd(dir)).await).expect("a listing");
    let mut names = Vec::new();
    while let Some(entry) = code(
        view.read_directory_entry(Resource::new_borrow(stream.rep()))
            .await,
    )
    .expect("an entry")
    {
        names.push(entry.name);
    }
    close_listing(&mut view, stream);
    // An import sorts a directory by its names' bytes.
    assert!(names.len() == 200 && names.is_sorted(), "{names:?}");
}

/// Natively such a path is invalid. Here no name has the byte, so there is nothing by that name.
#[tokio::test]
async fn a_zero_byte_is_in_no_name() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let (native, ours) = (guest.native, guest.ours);
    for path in ["hello.txt\0", "docs\0/readme.md", "\0"] {
        let mut view = guest.view();
        for (base, wanted) in [(native, ErrorCode::Invalid), (ours, ErrorCode::NoEntry)] {
            let stat = view
                .stat_at(fd(base), PathFlags::empty(), path.to_owned())
                .await;
            assert_eq!(code(stat).map(|_| ()), Err(wanted), "{path:?}");
        }
    }
}
