//! Does over WASI 0.3 what the other guests do over WASI 0.2, and what only streams and futures allow.
//!
//! Arguments: `COMMAND ARGUMENT…`, where the commands are the functions of the modules. Paths are absolute. Everything
//! is printed in words that do not tell `/ipfs` from a native preopen, so that the host can compare the two: errors by
//! the names of errno, and types by the letters that the other guests use.

mod between;
mod errno;
mod limits;
mod place;
mod probe;
mod stream;
mod tree;

use wasip3::{cli::environment::get_arguments, exports::cli::run::Guest};

use place::Place;

/// The program.
struct Preview3;

wasip3::cli::command::export!(Preview3);

impl Guest for Preview3 {
    async fn run() -> Result<(), ()> {
        let arguments = get_arguments();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let place = Place::find();
        match arguments[1..] {
            ["preopens"] => place.show(),
            ["walk", dir] => tree::walk(&place, dir).await,
            ["list", dir] => tree::list(&place, dir).await,
            ["read", ref files @ ..] => tree::read(&place, files).await,
            ["cat", ref files @ ..] => tree::cat(&place, files).await,
            ["copy", from, to] => tree::copy(&place, from, to).await,
            ["open", root, ref paths @ ..] => probe::open(&place, root, paths).await,
            ["paths", root, ref paths @ ..] => probe::paths(&place, root, paths).await,
            ["stat", ref paths @ ..] => probe::stat(&place, paths).await,
            ["write", dir, file] => probe::write(&place, dir, file).await,
            ["between", one, other, file] => between::directories(&place, one, other, file).await,
            ["same", one, again, other] => between::same(&place, one, again, other).await,
            ["mixed", dir, file] => between::previews(&place, dir, file).await,
            ["from", file, ref offsets @ ..] => stream::from(&place, file, offsets).await,
            ["partly", file, len] => stream::partly(&place, file, len).await,
            ["empty", file] => stream::empty(&place, file).await,
            ["impatient", file, offset] => stream::impatient(&place, file, offset).await,
            ["hoard", file, streams, stride] => stream::hoard(&place, file, streams, stride).await,
            ["until-refused", what, path] => limits::until_refused(&place, what, path).await,
            ["targets", dir] => limits::targets(&place, dir).await,
            ref unknown => panic!("no such command: {unknown:?}"),
        }
        Ok(())
    }
}
