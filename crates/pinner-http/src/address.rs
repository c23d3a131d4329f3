//! Which addresses are of this machine or of a private network.
//!
//! Pure. A server on the internet must not be able to lead a client to such an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
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
}
