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
