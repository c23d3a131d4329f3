//! TLS: a trusted server answers, and any other server is refused by name.

use std::sync::Arc;

use pinner_http::{Auth, Client, Endpoint, HttpError, Redirects};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer},
};
use toy_http::{Reply, ToyServer};

use crate::{LIMIT, builder, late, serve};

/// TLS in front of a toy server. It ends when this is dropped.
struct Encrypted {
    endpoint: Endpoint,
    /// The server's own certificate, in DER.
    certificate: Vec<u8>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn encrypted(server: &ToyServer) -> Encrypted {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = server.address();
    let accepting = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((connection, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                // A client that does not trust the certificate goes away.
                if let Ok(mut outside) = acceptor.accept(connection).await {
                    let mut inside = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                }
            });
        }
    });
    Encrypted {
        endpoint: format!("/dns/localhost/tcp/{port}/https").parse().unwrap(),
        certificate: own.cert.der().to_vec(),
        accepting,
    }
}

#[tokio::test]
async fn a_server_that_is_trusted_answers_and_connections_are_kept() {
    let server = serve(|_| Reply::ok("text/plain", "here")).await;
    let encrypted = encrypted(&server).await;
    let client = Client::builder(encrypted.endpoint.clone())
        .trust(encrypted.certificate.clone())
        .auth(Auth::bearer("t0ken"))
        .build()
        .unwrap();
    for _ in 0..3 {
        let answer = client.get("x").whole(LIMIT, late()).await.unwrap();
        assert_eq!(answer.body, "here");
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some("Bearer t0ken")
    );
}

#[tokio::test]
async fn a_server_that_nobody_trusts_is_refused() {
    let server = serve(|_| Reply::ok("text/plain", "here")).await;
    let (one, other) = (encrypted(&server).await, encrypted(&server).await);
    let client = Client::builder(one.endpoint.clone()).trust(other.certificate.clone());
    let client = client.auth(Auth::bearer("s3cret")).build().unwrap();
    let error = client.get("x").whole(LIMIT, late()).await.unwrap_err();
    assert!(matches!(error, HttpError::Unusable { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    // Under a name that is not the certificate's, it is another server.
    let port = one.endpoint.port().unwrap();
    let by_address = format!("https://127.0.0.1:{port}").parse().unwrap();
    let client = Client::builder(by_address).trust(one.certificate.clone());
    let error = client.build().unwrap().get("x").whole(LIMIT, late()).await;
    assert!(
        matches!(error, Err(HttpError::Unusable { .. })),
        "{error:?}"
    );
    assert!(server.requests().is_empty());
    // A text that is not a certificate is refused at once.
    let wrong = Client::builder(one.endpoint.clone())
        .trust(*b"no certificate")
        .build();
    assert!(
        matches!(wrong, Err(HttpError::Unusable { .. })),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_redirect_to_https_is_followed_without_credentials() {
    let server = serve(|_| Reply::ok("text/plain", "here")).await;
    let encrypted = encrypted(&server).await;
    let to = format!("{}/x", encrypted.endpoint);
    let plain = serve(move |_| Reply::with(308, &[("Location", &to)], "")).await;
    let endpoint = format!("http://localhost:{}", plain.address().port())
        .parse()
        .unwrap();
    let client = Client::builder(endpoint)
        .redirects(Redirects::WithinSite)
        .trust(encrypted.certificate.clone())
        .auth(Auth::bearer("s3cret"));
    let answer = client
        .build()
        .unwrap()
        .get("x")
        .whole(LIMIT, late())
        .await
        .unwrap();
    assert_eq!(answer.body, "here");
    assert_eq!(server.requests()[0].header("authorization"), None);
    assert!(plain.requests()[0].header("authorization").is_some());
    // A redirect from a server with another name is not followed.
    let client = builder(&plain)
        .redirects(Redirects::WithinSite)
        .build()
        .unwrap();
    let error = client.get("x").whole(LIMIT, late()).await;
    assert!(
        matches!(error, Err(HttpError::Redirected { .. })),
        "{error:?}"
    );
}
