//! Free ports on loopback, for programs whose ports must be chosen in advance.
//!
//! A port that was found free may be taken before the program binds it, so the caller tries again with others. The
//! ports lie below those that the kernel assigns to outgoing connections. So only a listener can take one, even while a
//! daemon restarts on its own.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{Ipv4Addr, TcpListener},
};

/// The range of ports. The kernel's own begin at 32768 by default.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// How many ports to try: a machine may have many listeners, but not that many.
const TRIES: usize = 1000;

/// Returns `N` ports on which nobody listens.
///
/// # Errors
/// If none are found.
pub(crate) fn free<const N: usize>() -> io::Result<[u16; N]> {
    // Held until all are found, so that no port is returned twice.
    let mut held = Vec::new();
    for try_ in 0..TRIES {
        if held.len() == N {
            break;
        }
        let width = u64::from(RANGE.end - RANGE.start);
        let random = RandomState::new().hash_one(try_) % width;
        let port = RANGE.start + u16::try_from(random).map_err(io::Error::other)?;
        // Both are tried: a listener on all addresses and a listener on loopback do not always see each other.
        let any = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
        if any.is_ok() {
            drop(any);
            held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(|it| (it, port)));
        }
    }
    let ports: Vec<_> = held.iter().map(|(_, port)| *port).collect();
    let none = || io::Error::new(io::ErrorKind::AddrInUse, "no free ports on loopback");
    ports.try_into().map_err(|_| none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_differ_and_can_be_bound() -> io::Result<()> {
        let [a, b, c] = free()?;
        assert!(a != b && b != c && a != c);
        for port in [a, b, c] {
            assert!(RANGE.contains(&port));
            TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        }
        Ok(())
    }
}
