//! Which addresses are of this machine or of a private network, and which ones a client connects to.
//!
//! Pure. A server on the internet must not be able to lead a client to such an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that a client connects to.
///
/// The check is made on each address that a connection is made to: on those that a name resolves to, at each connection
/// and each redirect anew, and on those that are written in a URL. So a name that first leads to a harmless address and
/// later to another gains nothing. A proxy would resolve names by itself, so a client with a rule uses none.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Addresses {
    /// Any address: the host chose the server.
    #[default]
    Any,
    /// Addresses of the public internet alone, for servers that somebody else chose. Refused are addresses of this
    /// machine, of private and shared networks, for one link, for several receivers, for documentation and benchmarks,
    /// and reserved ones; and all IPv6 addresses that stand for an IPv4 address (mapped, compatible, NAT64, 6to4,
    /// Teredo), because a translator on the way decides where they lead.
    Internet,
    /// Those of the internet, and those for which the function returns true.
    InternetAnd(fn(IpAddr) -> bool),
}

impl Addresses {
    /// Whether a connection to `address` is allowed.
    pub fn allow(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Internet => is_of_the_internet(address),
            Self::InternetAnd(also) => is_of_the_internet(address) || also(address),
        }
    }

    /// Whether every address is allowed.
    pub(crate) fn is_any(self) -> bool {
        matches!(self, Self::Any)
    }
}

/// A name leads nowhere else than to addresses that are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name leads to {0}, which is not an address of the internet that may be asked")]
pub(crate) struct Refused(pub(crate) IpAddr);

fn is_of_the_internet(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !is_private_v4(address),
        IpAddr::V6(address) => {
            let [a, b, ..] = address.segments();
            // Global addresses are assigned out of 2000::/3. Of them, 2001::/23 is for protocols (Teredo, benchmarks,
            // hashes), and 2002::/16 stands for IPv4 addresses (6to4).
            let assigned = a & 0xe000 == 0x2000;
            let of_a_protocol = (a == 0x2001 && b < 0x200) || a == 0x2002;
            assigned && !of_a_protocol && !is_private_v6(address)
        }
    }
}

/// Whether the address is not one of the public internet: of this machine, of a private or shared network, for one
/// link, for several receivers, or reserved. An IPv6 address that stands for an IPv4 address is judged by that.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || a == 0
        // The addresses between a carrier and its customers (RFC 6598).
        || (a == 100 && b & 0xc0 == 64)
        || (a, b, c) == (192, 0, 0)
        // Benchmarks of networks (RFC 2544).
        || (a == 198 && b & 0xfe == 18)
        // Documentation (RFC 5737), and the relays of 6to4 (RFC 7526).
        || address.is_documentation()
        || (a, b, c) == (192, 88, 99)
        // Reserved, and the broadcast address.
        || a >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Mapped and compatible addresses, `::` and `::1` among the latter; NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            v4(high, low)
        }
        // NAT64 within a network (RFC 8215); Teredo, whose IPv4 address is hidden.
        [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] => true,
        // Documentation (RFC 3849, RFC 9637); benchmarks of networks (RFC 5180).
        [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] | [0x2001, 2, 0, ..] => true,
        // 6to4 (RFC 3056).
        [0x2002, ..] => v4(b, c),
        // Unique local, link-local and the former site-local addresses, and multicast.
        _ => a & 0xfe00 == 0xfc00 || a & 0xff80 == 0xfe80 || a & 0xff00 == 0xff00,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_of_the_internet_are_known() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "192.0.2.1",
            "192.88.99.1",
            "198.51.100.1",
            "203.0.113.255",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::10.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "2001::1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001:2::1",
            "3fff:fff::1",
        ] {
            let private = private.parse().unwrap();
            assert!(is_private(private), "{private}");
            assert!(!Addresses::Internet.allow(private), "{private}");
            assert!(Addresses::Any.allow(private), "{private}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:4860:4860::8888",
            "2002:808:808::",
            "2606:4700::1111",
            "fbff::1",
        ] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn a_found_server_is_asked_at_an_address_of_the_internet_itself() {
        for public in [
            "1.1.1.1",
            "192.88.98.1",
            "203.0.112.1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "3fff:1000::1",
        ] {
            assert!(
                Addresses::Internet.allow(public.parse().unwrap()),
                "{public}"
            );
        }
        // Each stands for 8.8.8.8, or is assigned to nobody.
        for refused in [
            "::ffff:8.8.8.8",
            "::ffff:0:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::8.8.8.8",
            "2002:808:808::",
            "2001::8.8.8.8",
            "2001:10::1",
            "2001:20::1",
            "100::1",
            "4000::1",
            "fbff::1",
        ] {
            assert!(
                !Addresses::Internet.allow(refused.parse().unwrap()),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_host_allows_further_addresses() {
        let own = Addresses::InternetAnd(|address| address.is_loopback());
        for (address, wanted) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("8.8.8.8", true),
            ("10.0.0.1", false),
            ("::ffff:127.0.0.1", false),
        ] {
            assert_eq!(own.allow(address.parse().unwrap()), wanted, "{address}");
        }
    }
}
