//! The object store for the address of an archive.

use std::{sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ObjectStore, RetryConfig, aws::AmazonS3Builder, http::HttpBuilder, path::Path,
};
use pinner_http::{Client, Endpoint, Redirects};
use url::Url;

use crate::{
    address::{ArchiveUrl, Kind},
    error::RemoteError,
    s3::S3Options,
    service::Service,
};

/// How the server may be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Whether servers other than this machine may be asked without TLS.
    pub(crate) plain_http: bool,
    /// The number of requests at once.
    pub(crate) at_once: usize,
}

/// The store, and the path of the archive in it. Nothing is sent yet.
pub(crate) fn open(
    url: &ArchiveUrl,
    s3: &S3Options,
    reach: Reach,
) -> Result<(Arc<dyn ObjectStore>, Path), RemoteError> {
    let opened = match &url.0 {
        Kind::Http(target) => http(target, reach, url.name()),
        Kind::S3 { bucket, key } => {
            let store = bucket_of(bucket, s3, reach, url.name());
            store.map(|store| (store, key.clone()))
        }
    };
    opened.map_err(|reason| RemoteError::Unusable {
        name: url.name(),
        reason,
    })
}

fn http(target: &Url, reach: Reach, name: String) -> Result<(Arc<dyn ObjectStore>, Path), String> {
    let service = Service {
        client: client(target, Redirects::WithinSite, reach)?,
        name,
    };
    // The whole URL is the root of the store, so that its query stays.
    let store = HttpBuilder::new()
        .with_url(target.as_str())
        .with_retry(retry())
        .with_http_connector(service)
        .build();
    let store = store.map_err(|error| error.to_string())?;
    Ok((Arc::new(store), Path::default()))
}

fn bucket_of(
    bucket: &str,
    options: &S3Options,
    reach: Reach,
    name: String,
) -> Result<Arc<dyn ObjectStore>, String> {
    let region = options.region.as_deref().unwrap_or("us-east-1");
    let is_region = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if region.is_empty() || !region.chars().all(is_region) {
        return Err(format!("'{}' is not a region", region.escape_debug()));
    }
    let endpoint = match &options.endpoint {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None => format!("https://s3.{region}.amazonaws.com"),
    };
    let target = Url::parse(&endpoint)
        .map_err(|error| format!("the address of S3 cannot be used: {error}"))?;
    let service = Service {
        // A signature is for one address.
        client: client(&target, Redirects::Never, reach)?,
        name,
    };
    let builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_retry(retry())
        .with_http_connector(service);
    let builder = match &options.keys {
        Some(keys) => {
            let builder = builder
                .with_access_key_id(&keys.id)
                .with_secret_access_key(&keys.secret);
            match &keys.token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        None => builder.with_skip_signature(true),
    };
    Ok(Arc::new(
        builder.build().map_err(|error| error.to_string())?,
    ))
}

/// A client of the server in `target`.
fn client(target: &Url, redirects: Redirects, reach: Reach) -> Result<Client, String> {
    let origin = target.origin().ascii_serialization();
    let endpoint: Endpoint = origin
        .parse()
        .map_err(|_| "it is not the address of a server".to_owned())?;
    if !endpoint.is_https() && !endpoint.is_local() && !reach.plain_http {
        return Err(format!(
            "plain http to {origin} would show to everybody on the way what is read; use https, or allow http"
        ));
    }
    let client = Client::builder(endpoint)
        .redirects(redirects)
        .in_flight(reach.at_once)
        .build();
    client.map_err(|error| error.to_string())
}

/// Only answers that broke off are left for the store to ask for again.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACH: Reach = Reach {
        plain_http: false,
        at_once: 2,
    };

    #[test]
    fn plain_http_is_for_this_machine() {
        let opened = |url: &str, reach| {
            let url: ArchiveUrl = url.parse().expect(url);
            let opened = open(&url, &S3Options::default(), reach);
            opened.err().map(|error| error.to_string())
        };
        assert_eq!(opened("http://127.0.0.1:1/x.car", REACH), None);
        assert_eq!(opened("http://[::1]:1/x.car", REACH), None);
        let error = opened("http://192.0.2.1/x.car?s=secret", REACH).expect("refused");
        assert!(
            error.contains("https") && !error.contains("secret"),
            "{error}"
        );
        let allowed = Reach {
            plain_http: true,
            ..REACH
        };
        assert_eq!(opened("http://192.0.2.1/x.car", allowed), None);
    }

    #[test]
    fn the_address_of_s3_obeys_the_same_rules() {
        let url: ArchiveUrl = "s3://bucket/x.car".parse().expect("an address");
        let opened = |endpoint: &str, region: &str| {
            let options = S3Options {
                endpoint: Some(endpoint.to_owned()),
                region: Some(region.to_owned()),
                keys: None,
            };
            open(&url, &options, REACH).is_ok()
        };
        assert!(opened("http://127.0.0.1:9000/", "eu-west-1"));
        for (endpoint, region) in [
            ("http://192.0.2.1", "eu-west-1"),
            ("ftp://127.0.0.1", "eu-west-1"),
            ("nothing", "eu-west-1"),
            ("http://127.0.0.1:9000", "evil.example/"),
        ] {
            assert!(!opened(endpoint, region), "{endpoint} {region}");
        }
    }
}
