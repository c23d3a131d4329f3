//! Addresses in all their spellings, and texts that are not addresses.

use super::*;

fn shown(text: &str) -> String {
    let endpoint: Endpoint = text.parse().unwrap_or_else(|error| panic!("{error}"));
    let shown = endpoint.to_string();
    assert_eq!(shown.parse::<Endpoint>(), Ok(endpoint), "{text}");
    shown
}

#[test]
fn every_way_to_write_an_endpoint_is_taken() {
    for (text, wanted) in [
        ("/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"),
        ("/ip4/127.0.0.1/tcp/5001/http", "http://127.0.0.1:5001"),
        ("/ip6/::1/tcp/5001", "http://[::1]:5001"),
        ("/dns/example.org/tcp/443/https", "https://example.org"),
        ("/dns4/example.org/tcp/444/https", "https://example.org:444"),
        (
            "/dns6/a_b.example.org/tcp/443/tls/http",
            "https://a_b.example.org",
        ),
        ("/unix/run/ipfs.sock", "/unix/run/ipfs.sock"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        (
            "https://Example.org/some/prefix/",
            "https://example.org/some/prefix",
        ),
        ("127.0.0.1:5001", "http://127.0.0.1:5001"),
        ("localhost:5001", "http://localhost:5001"),
        ("[::1]:5001", "http://[::1]:5001"),
        ("  localhost:80\n", "http://localhost"),
    ] {
        assert_eq!(shown(text), wanted, "{text}");
    }
}

#[test]
fn what_is_no_endpoint_is_refused_by_name() {
    for text in [
        "",
        "localhost",
        "localhost:",
        "localhost:70000",
        "localhost:80/x",
        ":5001",
        "/",
        "/ip4",
        "/ip4/localhost/tcp/80",
        "/ip6/127.0.0.1/tcp/80",
        "/ip4/127.0.0.1/udp/80",
        "/ip4/127.0.0.1/tcp",
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/tcp/port",
        "/ip4/127.0.0.1/tcp/80/ws",
        "/ip4/127.0.0.1/tcp/80/http/more",
        "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW",
        "/dns//tcp/80",
        "/dns/a b/tcp/80",
        "/dns/user@host/tcp/80",
        "/unix",
        "/unix/",
        "ftp://example.org",
        "https://",
        "https://example.org?x=y",
        "https://example.org#x",
        "http://example.org:99999",
    ] {
        let error = text.parse::<Endpoint>().expect_err(text).to_string();
        let shown = text.rsplit('@').next().unwrap_or(text);
        assert!(error.contains(shown), "{error}");
        assert!(error.contains("host:port"), "{error}");
    }
    assert!(Endpoint::unix("run/x.sock").is_err());
}

#[test]
fn credentials_in_a_url_are_refused_and_not_shown() {
    for text in ["http://me:s3cret@example.org/", "me:s3cret@example.org:80"] {
        let error = text.parse::<Endpoint>().expect_err(text);
        assert!(
            !format!("{error} {error:?}").contains("s3cret"),
            "{error:?}"
        );
    }
}

#[test]
fn paths_are_put_below_the_prefix_and_escaped() {
    let plain: Endpoint = "localhost:5001".parse().unwrap();
    let prefixed: Endpoint = "https://example.org/a/b".parse().unwrap();
    assert_eq!(
        plain.url("api/v0/version").as_str(),
        "http://localhost:5001/api/v0/version"
    );
    assert_eq!(
        prefixed.url("ipfs/bafy").as_str(),
        "https://example.org/a/b/ipfs/bafy"
    );
    assert_eq!(
        plain.url("ipfs/a?b#c d%2e/../x").as_str(),
        "http://localhost:5001/ipfs/a%3Fb%23c%20d%252e/x"
    );
}

#[test]
fn this_machine_is_known_by_its_address() {
    for text in [
        "localhost:1",
        "x.LocalHost.:1",
        "127.8.0.1:1",
        "[::1]:1",
        "/unix/a",
    ] {
        assert!(text.parse::<Endpoint>().unwrap().is_local(), "{text}");
    }
    for text in ["localhost.org:1", "10.0.0.1:1", "https://example.org"] {
        assert!(!text.parse::<Endpoint>().unwrap().is_local(), "{text}");
    }
}

#[test]
fn host_and_port_are_told() {
    let told = |text: &str| {
        let endpoint: Endpoint = text.parse().unwrap();
        (endpoint.host().map(str::to_owned), endpoint.port())
    };
    let tcp = |host: &str, port| (Some(host.to_owned()), Some(port));
    assert_eq!(told("https://example.org/x"), tcp("example.org", 443));
    assert_eq!(told("/ip6/::1/tcp/5001"), tcp("[::1]", 5001));
    assert_eq!(told("/unix/run/x.sock"), (None, None));
}
