//! How gateways are named, and what they are told and trusted with.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer},
};
use toy_http::Reply;

use crate::{
    harness::{Ended, Scene, raw},
    sources::Toy,
};

const CONTENT: &[u8] = b"content\n";

/// A server that gives the same block to everybody, as a cache that knows nothing of IPFS.
fn serving() -> Toy {
    Toy::start(|_| Reply::ok("application/octet-stream", CONTENT))
}

fn cid() -> String {
    raw(CONTENT).0.to_string()
}

/// Runs `cat` of the block with this environment.
fn cat(scene: &Scene, environment: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let mut command = scene.command("cat");
    command.envs(environment.iter().copied());
    command.args(arguments).arg(cid());
    Ended::of(command.output().expect("it starts"))
}

#[test]
fn a_gateway_is_named_with_its_path_or_without() {
    let scene = Scene::new();
    let server = serving();
    for end in ["", "/", "/ipfs", "/ipfs/"] {
        let url = format!("{}{end}", server.url());
        let ended = cat(&scene, &[], &["--gateway", &url]);
        assert_eq!(ended.succeeded().stdout, CONTENT);
    }
    let path = format!("/ipfs/{}", cid());
    let asked = server.asked_paths();
    assert!(asked.iter().all(|asked| *asked == path), "{asked:?}");
}

#[test]
fn the_environment_names_a_gateway_where_no_source_is_given() {
    let scene = Scene::new();
    let server = serving();
    let url = format!("{}/ipfs/", server.url());
    let ended = cat(&scene, &[("IPFS_GATEWAY", &url)], &[]);
    assert_eq!(ended.succeeded().stdout, CONTENT);
    // As a node writes it.
    std::fs::create_dir(scene.path("no-repository")).expect("a folder");
    cat(&scene, &[], &[]).failed(2, &["IPFS_GATEWAY"]);
    scene.write("no-repository/gateway", server.url().as_bytes());
    assert_eq!(cat(&scene, &[], &[]).succeeded().stdout, CONTENT);
    cat(&scene, &[("IPFS_GATEWAY", "nowhere")], &[]).failed(2, &["IPFS_GATEWAY", "nowhere"]);
    // Other sources are enough.
    let before = server.asked();
    cat(&scene, &[("IPFS_GATEWAY", &url)], &["--car", "tree.car"]).failed(1, &[&cid()]);
    assert_eq!(server.asked(), before);
}

#[test]
fn credentials_are_sent_to_their_gateway_and_shown_to_nobody() {
    let scene = Scene::new();
    let absent = Toy::start(|_| Reply::with(410, &[], "gone"));
    let server = serving();
    let (first, second) = (absent.url(), server.url());
    scene.write(
        "auth",
        format!("# mine\n{second}/ipfs/ bearer:t0ken-1\n").as_bytes(),
    );
    let both = ["--gateway", &*first, "--gateway", &*second];
    let with_file = [&both[..], &["--gateway-auth-file", "auth"]].concat();
    cat(&scene, &[], &with_file).succeeded();
    let variable = format!("{second} basic:me:t0ken-2");
    cat(&scene, &[("WASI_IPFS_GATEWAY_AUTH", &variable)], &both).succeeded();
    let alone = [("WASI_IPFS_GATEWAY_AUTH", "bearer:t0ken-3")];
    cat(&scene, &alone, &["--gateway", &second]).succeeded();
    let sent = server.asked_headers("authorization");
    let sent: Vec<_> = sent.iter().map(|sent| sent.as_deref()).collect();
    assert_eq!(
        sent,
        [
            Some("Bearer t0ken-1"),
            Some("Basic bWU6dDBrZW4tMg=="),
            Some("Bearer t0ken-3")
        ]
    );
    let others = absent.asked_headers("authorization");
    assert_eq!(others, [None, None], "nobody else gets them");
    // Whose are they?
    let ended = cat(&scene, &alone, &both);
    ended.failed(2, &["WASI_IPFS_GATEWAY_AUTH", "URL"]);
    assert!(!ended.stderr.contains("t0ken"), "{ended:?}");
    let wrong = [("WASI_IPFS_GATEWAY_AUTH", "t0ken")];
    let ended = cat(&scene, &wrong, &["--gateway", &second]);
    ended.failed(2, &["WASI_IPFS_GATEWAY_AUTH", "bearer:TOKEN"]);
    assert!(!ended.stderr.contains("t0ken"), "{ended:?}");
    cat(
        &scene,
        &[],
        &["--gateway", &second, "--gateway-auth-file", "nowhere"],
    )
    .failed(1, &["'nowhere'", "No such file"]);
}

#[test]
fn a_private_authority_is_trusted_on_request() {
    let scene = Scene::new();
    let server = serving();
    let (url, pem) = server.encrypted();
    scene.write("ca.pem", pem.as_bytes());
    let trusting = ["--gateway", &*url, "--gateway-ca", "ca.pem"];
    assert_eq!(cat(&scene, &[], &trusting).succeeded().stdout, CONTENT);
    let system = ["--gateway", &*url, "--block-timeout", "2s"];
    cat(&scene, &[], &system).failed(1, &["certificate"]);
    scene.write("none.pem", b"no certificate");
    cat(
        &scene,
        &[],
        &["--gateway", &url, "--gateway-ca", "none.pem"],
    )
    .failed(1, &["'none.pem'", "BEGIN CERTIFICATE"]);
}

impl Toy {
    /// The paths that were asked for.
    fn asked_paths(&self) -> Vec<String> {
        let requests = self.requests();
        requests
            .iter()
            .map(|asked| asked.path().to_owned())
            .collect()
    }

    /// One header of each request.
    fn asked_headers(&self, name: &str) -> Vec<Option<String>> {
        let requests = self.requests();
        let header = |asked: &toy_http::Asked| asked.header(name).map(str::to_owned);
        requests.iter().map(header).collect()
    }

    /// Puts TLS in front of the server, for as long as it lives. Returns the URL, and the certificate in PEM.
    fn encrypted(&self) -> (String, String) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())
            .expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let behind = self.address();
        let listener = self
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        self.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate goes away.
                    if let Ok(mut outside) = acceptor.accept(connection).await {
                        let mut inside = TcpStream::connect(behind).await.expect("the server");
                        let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                    }
                });
            }
        });
        let pem = pem(own.cert.der());
        (format!("https://localhost:{port}"), pem)
    }
}

fn pem(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in der.chunks(3) {
        let bytes = [0, 1, 2].map(|at| u32::from(group.get(at).copied().unwrap_or(0)));
        let number = bytes[0] << 16 | bytes[1] << 8 | bytes[2];
        for place in 0..4 {
            let digit = (number >> (18 - 6 * place)) & 63;
            text.push(match place <= group.len() {
                true => char::from(DIGITS[digit as usize]),
                false => '=',
            });
        }
    }
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
