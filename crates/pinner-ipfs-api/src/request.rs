//! The calls of this crate, as the client's `ApiRequest`s: their paths, and their queries as in the URL.
//!
//! The client has some of these itself, but without the arguments needed here (`pin/ls` of one type, `pin/add` with an
//! answer that can be read line by line), and lacks others (`pin/update`, `files/cp` with parents).

use ipfs_api_prelude::ApiRequest;
use serde::Serialize;

macro_rules! requests {
    ($($name:ident = $path:literal;)*) => {$(
        #[derive(Clone, Copy, Debug, Serialize)]
        #[serde(transparent)]
        pub(crate) struct $name<'a>(pub(crate) &'a [(&'static str, &'a str)]);

        impl ApiRequest for $name<'_> {
            const PATH: &'static str = $path;
        }
    )*};
}

requests! {
    BlockGet = "/block/get";
    FilesCp = "/files/cp";
    FilesLs = "/files/ls";
    FilesRm = "/files/rm";
    NameResolve = "/name/resolve";
    PinAdd = "/pin/add";
    PinLs = "/pin/ls";
    PinRm = "/pin/rm";
    PinUpdate = "/pin/update";
    Version = "/version";
}

/// The name of a request in errors: `block/get`.
pub(crate) fn name_of<R: ApiRequest>(_: &R) -> &'static str {
    R::PATH.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_what_was_asked_for() {
        let base = hyper_0_14::Uri::from_static("http://node/api/v0");
        let url =
            |uri: Result<hyper_0_14::Uri, ipfs_api_prelude::Error>| uri.expect("a URL").to_string();
        let update = PinUpdate(&[("arg", "from"), ("arg", "to"), ("unpin", "false")]);
        assert_eq!(
            url(update.absolute_url(&base)),
            "http://node/api/v0/pin/update?arg=from&arg=to&unpin=false"
        );
        let copy = FilesCp(&[("arg", "/ipfs/a b&c=d"), ("arg", "/é")]);
        assert_eq!(
            url(copy.absolute_url(&base)),
            "http://node/api/v0/files/cp?arg=%2Fipfs%2Fa+b%26c%3Dd&arg=%2F%C3%A9"
        );
        assert_eq!(
            url(Version(&[]).absolute_url(&base)),
            "http://node/api/v0/version?"
        );
        assert_eq!(name_of(&update), "pin/update");
    }
}
