//! A parser for the few multiaddrs that name an HTTP server. It is written by hand, because a whole multiaddr library
//! knows dozens of protocols that no HTTP client can dial.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

/// The place that a multiaddr names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A URL of scheme, host and port.
    Tcp { url: String },
    /// An absolute path.
    Unix { path: PathBuf },
}

/// Parses a text that starts with `/`. The error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Place, &'static str> {
    if let Some(path) = text.strip_prefix("/unix/") {
        if path.is_empty() {
            return Err("/unix names no path");
        }
        return Ok(Place::Unix {
            path: PathBuf::from(format!("/{path}")),
        });
    }
    let mut parts = text.strip_prefix('/').unwrap_or(text).split('/');
    let host = match (parts.next(), parts.next()) {
        (Some("ip4"), Some(address)) => address
            .parse::<Ipv4Addr>()
            .map_err(|_| "/ip4 is not followed by an IPv4 address")?
            .to_string(),
        (Some("ip6"), Some(address)) => {
            let address = address
                .parse::<Ipv6Addr>()
                .map_err(|_| "/ip6 is not followed by an IPv6 address")?;
            format!("[{address}]")
        }
        (Some("dns" | "dns4" | "dns6"), Some(name)) if is_name(name) => name.to_owned(),
        (Some("dns" | "dns4" | "dns6"), _) => return Err("/dns is not followed by a name"),
        _ => return Err("the multiaddr starts with neither ip4, ip6, dns, dns4, dns6 nor unix"),
    };
    let port: u16 = match (parts.next(), parts.next()) {
        (Some("tcp"), Some(port)) => port
            .parse()
            .map_err(|_| "/tcp is not followed by a port number")?,
        _ => return Err("the multiaddr names no TCP port"),
    };
    let rest: Vec<_> = parts.collect();
    let scheme = match *rest.as_slice() {
        [] | ["http"] => "http",
        ["https"] | ["tls", "http"] => "https",
        _ => return Err("only /http, /https or /tls/http may follow the port"),
    };
    Ok(Place::Tcp {
        url: format!("{scheme}://{host}:{port}/"),
    })
}

/// Whether the name may be the host in a URL. The URL's parser checks it more closely.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}
