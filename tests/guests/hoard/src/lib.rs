//! Begins reads, listings and advice, leaves all of them alive and unread, and sleeps until it is ended.
//!
//! Arguments: `STREAMS LISTINGS ADVICE STRIDE PATH…`, the numbers of each for every path, and the distance in bytes from
//! one stream of a file to the next. Paths are relative to `/ipfs`. Each stream is asked once whether it is ready, and is
//! never read. Prints one line when all is begun.

use std::io::{self, Write};

use wasip2::{
    cli::environment::get_arguments,
    clocks::monotonic_clock::subscribe_duration,
    exports::cli::run::Guest,
    filesystem::{
        preopens::get_directories,
        types::{Advice, Descriptor, DescriptorFlags, OpenFlags, PathFlags},
    },
};

/// The program.
struct Hoard;

wasip2::cli::command::export!(Hoard);

const HOUR: u64 = 3600 * 1_000_000_000;

impl Guest for Hoard {
    fn run() -> Result<(), ()> {
        let arguments = get_arguments();
        let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
        let numbers = (number(1), number(2), number(3), number(4));
        let (Some(streams), Some(listings), Some(advice), Some(stride)) = numbers else {
            return Err(());
        };
        let directories = get_directories();
        let ipfs = directories.iter().find(|(_, path)| path == "/ipfs");
        let Some((ipfs, _)) = ipfs else {
            return Err(());
        };
        let mut begun = (Vec::new(), Vec::new(), Vec::new());
        let mut refused = 0;
        for path in &arguments[5..] {
            let opened = ipfs.open_at(
                PathFlags::empty(),
                path,
                OpenFlags::empty(),
                DescriptorFlags::READ,
            );
            let Ok(opened) = opened else {
                refused += 1;
                continue;
            };
            for at in 0..streams {
                match opened.read_via_stream(at * stride) {
                    Ok(stream) => {
                        let ready = stream.subscribe();
                        ready.ready();
                        begun.0.push((ready, stream));
                    }
                    Err(_) => refused += 1,
                }
            }
            for _ in 0..listings {
                match opened.read_directory() {
                    Ok(listing) => {
                        _ = listing.read_directory_entry();
                        begun.1.push(listing);
                    }
                    Err(_) => refused += 1,
                }
            }
            for at in 0..advice {
                _ = opened.advise(at * stride, 0, Advice::WillNeed);
            }
            begun.2.push(opened);
        }
        say(&begun.2, begun.0.len(), begun.1.len(), refused);
        loop {
            subscribe_duration(HOUR).block();
        }
    }
}

fn say(opened: &[Descriptor], streams: usize, listings: usize, refused: usize) {
    let opened = opened.len();
    let line =
        format!("{opened} open, {streams} streams, {listings} listings, {refused} refused\n");
    _ = io::stdout().write_all(line.as_bytes());
    _ = io::stdout().flush();
}
