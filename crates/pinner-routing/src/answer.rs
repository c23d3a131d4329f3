//! The gateways that a router's answer names.
//!
//! Pure. The format is that of <https://specs.ipfs.tech/routing/http-routing-v1/>. Whatever is not known in it is
//! passed over: a router may have providers of which only other programs can make use.

use pinner_http::Endpoint;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The protocol of trustless gateways.
pub(crate) const GATEWAY_PROTOCOL: &str = "transport-ipfs-gateway-http";

/// The largest number of addresses that are taken of one provider.
const MOST_ADDRESSES: usize = 2;

/// The longest address that is read, in bytes.
const MAX_ADDRESS: usize = 1024;

/// Which addresses of gateways are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// Those of https alone.
    Never,
    /// Also those of http on this machine.
    OnLoopback,
}

/// One provider. All its fields are optional, since each schema has others.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Peer {
    #[serde(default)]
    addrs: Option<Vec<String>>,
    #[serde(default)]
    protocols: Option<Vec<String>>,
    /// In older schemas.
    #[serde(default)]
    protocol: Option<String>,
}

/// The gateways that a whole document names, in its order.
pub(crate) fn in_document(bytes: &[u8], plain: Plain) -> Result<Vec<Endpoint>, String> {
    let document: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match document.get("Providers") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(providers)) => {
            Ok(providers.iter().flat_map(|it| of(it, plain)).collect())
        }
        Some(_) => Err("its providers are not a list".to_owned()),
    }
}

/// The gateways of the one provider in a line of a stream. An empty line has none.
pub(crate) fn in_line(line: &[u8], plain: Plain) -> Result<Vec<Endpoint>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let provider = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    Ok(of(&provider, plain))
}

/// The gateways of a provider; none if it is something else.
fn of(provider: &Value, plain: Plain) -> Vec<Endpoint> {
    // A list would be read as the fields in their order.
    let peer = match provider.is_object().then(|| Peer::deserialize(provider)) {
        Some(Ok(peer)) => peer,
        Some(Err(_)) | None => return Vec::new(),
    };
    let mut protocols = peer.protocols.iter().flatten().chain(&peer.protocol);
    if !protocols.any(|protocol| protocol.eq_ignore_ascii_case(GATEWAY_PROTOCOL)) {
        return Vec::new();
    }
    let addresses = peer.addrs.unwrap_or_default();
    let endpoints = addresses.iter().filter_map(|it| endpoint(it, plain));
    endpoints.take(MOST_ADDRESSES).collect()
}

/// The gateway at a multiaddr, if it can be asked: `/dns/example.org/tcp/443/https`, `/tls/http` in place of `/https`,
/// `/tls/sni/example.org/http` with the same name, and any of these with `/p2p/<peer>` behind it.
fn endpoint(address: &str, plain: Plain) -> Option<Endpoint> {
    // Neither a Unix socket nor another way to write an address.
    let host = ["/dns/", "/dns4/", "/dns6/", "/ip4/", "/ip6/"];
    if address.len() > MAX_ADDRESS || !host.iter().any(|it| address.starts_with(it)) {
        return None;
    }
    let address = address
        .split_once("/p2p/")
        .map_or(address, |(rest, _)| rest);
    let name = address.split('/').nth(2)?;
    let address = address.replace(&format!("/tls/sni/{name}/http"), "/tls/http");
    let is_plain = address.ends_with("/http") && !address.ends_with("/tls/http");
    if is_plain && plain == Plain::Never {
        return None;
    }
    let endpoint: Endpoint = address.parse().ok()?;
    let may_be_asked = endpoint.is_https() || (is_plain && endpoint.is_local());
    may_be_asked.then_some(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(found: Result<Vec<Endpoint>, String>) -> Vec<String> {
        let found = found.expect("it is JSON");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_of_gateways_are_read() {
        for (address, wanted) in [
            ("/dns/a.example/tcp/443/https", Some("https://a.example")),
            (
                "/dns4/a.example/tcp/443/tls/http",
                Some("https://a.example"),
            ),
            (
                "/dns6/a.example/tcp/8443/https",
                Some("https://a.example:8443"),
            ),
            ("/ip4/192.0.2.1/tcp/443/https", Some("https://192.0.2.1")),
            (
                "/ip6/2001:db8::1/tcp/443/tls/http",
                Some("https://[2001:db8::1]"),
            ),
            (
                "/dns/a.example/tcp/443/tls/sni/a.example/http/p2p/12D3KooW",
                Some("https://a.example"),
            ),
            ("/dns/a.example/tcp/443/tls/sni/b.example/http", None),
            ("/dns/a.example/tcp/80/http", None),
            ("/ip4/192.0.2.1/tcp/4001", None),
            ("/ip4/192.0.2.1/udp/4001/quic-v1", None),
            ("/unix/run/x.sock", None),
            ("https://a.example", None),
            ("a.example:443", None),
            ("/dns/a.example/tcp/443/https/http-path/x", None),
            ("/dns/a@b/tcp/443/https", None),
            ("", None),
        ] {
            let found = endpoint(address, Plain::Never).map(|it| it.to_string());
            assert_eq!(found.as_deref(), wanted, "{address}");
        }
        for (address, wanted) in [
            ("/ip4/127.0.0.1/tcp/8080/http", true),
            ("/dns/localhost/tcp/8080/http", true),
            ("/ip4/127.0.0.1/tcp/8080", false),
            ("/ip4/192.0.2.1/tcp/8080/http", false),
        ] {
            let found = endpoint(address, Plain::OnLoopback);
            assert_eq!(found.is_some(), wanted, "{address}");
        }
    }

    #[test]
    fn only_gateways_are_taken_and_the_rest_is_passed_over() {
        let document = br#"{"Providers": [
            {"Schema":"peer","ID":"12D3","Addrs":["/ip4/1.2.3.4/tcp/4001"],"Protocols":["transport-bitswap"]},
            {"Schema":"peer","ID":"12D3","Addrs":["/dns/a.example/tcp/443/https"],
             "Protocols":["transport-bitswap","transport-ipfs-gateway-http"],"transport-ipfs-gateway-http":"oBIA"},
            {"Schema":"peer","ID":"12D3","Addrs":null,"Protocols":["transport-ipfs-gateway-http"]},
            {"Schema":"peer","ID":"12D3","Protocols":["transport-ipfs-gateway-http"]},
            {"Schema":"peer","Addrs":"/dns/b.example/tcp/443/https","Protocols":["transport-ipfs-gateway-http"]},
            {"Schema":"unknown","Addrs":[1],"Protocols":7}, 7, null, "text", [],
            [["/dns/d.example/tcp/443/https"],["transport-ipfs-gateway-http"],null],
            {"Protocol":"transport-ipfs-gateway-http","Schema":"old","Addrs":["/dns/c.example/tcp/443/https"]},
            {"Addrs":["/dns/1.example/tcp/443/https","/dns/2.example/tcp/443/https","/dns/3.example/tcp/443/https"],
             "Protocols":["Transport-IPFS-Gateway-HTTP"]}
        ], "More": 1}"#;
        let found = urls(in_document(document, Plain::Never));
        let names = ["a", "c", "1", "2"];
        assert_eq!(found, names.map(|name| format!("https://{name}.example")));
        for empty in ["{}", r#"{"Providers":null}"#, r#"{"Providers":[]}"#] {
            assert!(urls(in_document(empty.as_bytes(), Plain::Never)).is_empty());
        }
        for wrong in [
            "",
            "[]",
            "<html>",
            r#"{"Providers":7}"#,
            r#"{"Providers":[{]"#,
        ] {
            assert!(
                in_document(wrong.as_bytes(), Plain::Never).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_line_is_one_provider() {
        let line = br#"{"Schema":"peer","Addrs":["/dns/a.example/tcp/443/https"],"Protocols":["transport-ipfs-gateway-http"]}"#;
        assert_eq!(urls(in_line(line, Plain::Never)), ["https://a.example"]);
        assert!(urls(in_line(b" \t", Plain::Never)).is_empty());
        assert!(urls(in_line(b"7", Plain::Never)).is_empty());
        assert!(in_line(&line[..40], Plain::Never).is_err());
    }
}
