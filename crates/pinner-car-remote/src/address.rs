//! [`ArchiveUrl`]: where an archive is.

use std::{fmt, str::FromStr};

use object_store::path::Path;
use url::Url;

/// The URL of an archive: `https://host/path/x.car` or `s3://bucket/key`. A plain `http` URL is for a server on this
/// machine, unless the host [allows](crate::RemoteCarBuilder::allow_http) it.
///
/// It is displayed without its query, which may hold a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct ArchiveUrl(pub(crate) Kind);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Http(Url),
    S3 { bucket: String, key: Path },
}

impl ArchiveUrl {
    /// The name of the archive in messages and in the directory of kept indexes.
    pub(crate) fn name(&self) -> String {
        match &self.0 {
            Kind::Http(url) => {
                let mut url = url.clone();
                url.set_query(None);
                url.to_string()
            }
            Kind::S3 { bucket, key } => format!("s3://{bucket}/{key}"),
        }
    }
}

impl FromStr for ArchiveUrl {
    type Err = ParseArchiveUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let scheme = scheme.unwrap_or_default().to_ascii_lowercase();
        let wrong = |why: &str| ParseArchiveUrlError {
            // Neither credentials nor a signature are shown.
            text: shown(text),
            why: why.to_owned(),
        };
        match &*scheme {
            "https" | "http" => http(text).map(Self).map_err(wrong),
            "s3" => s3(text).map(Self).map_err(|why| wrong(&why)),
            "gs" | "gcs" => Err(wrong(
                "Google Cloud Storage is not offered by this scheme; its objects can be read by their https URLs",
            )),
            "az" | "azure" | "abfs" | "abfss" | "adl" => Err(wrong(
                "Azure's storage is not offered by this scheme; its objects can be read by their https URLs",
            )),
            _ => Err(wrong("archives are read from https:// and s3:// URLs")),
        }
    }
}

fn http(text: &str) -> Result<Kind, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a valid URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong in an address, which is shown");
    }
    if url.fragment().is_some() {
        return Err("a fragment does not belong in it");
    }
    if url.host_str().is_none() {
        return Err("it names no host");
    }
    Ok(Kind::Http(url))
}

fn s3(text: &str) -> Result<Kind, String> {
    let rest = text.get("s3://".len()..).unwrap_or_default();
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.is_empty() || !bucket.chars().all(named) || bucket.starts_with('.') {
        return Err("it names no bucket; write s3://bucket/key".to_owned());
    }
    if key.is_empty() {
        return Err("it names no object; write s3://bucket/key".to_owned());
    }
    if key.starts_with('/') || key.ends_with('/') {
        return Err("its key begins or ends with a slash, which cannot be used".to_owned());
    }
    match Path::parse(key) {
        Ok(key) => Ok(Kind::S3 {
            bucket: bucket.to_owned(),
            key,
        }),
        Err(error) => Err(format!("its key cannot be used: {error}")),
    }
}

/// The text without what may be a secret.
fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    }
}

impl fmt::Display for ArchiveUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for ArchiveUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArchiveUrl({self})")
    }
}

/// The error for a text that is not an [`ArchiveUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid address of an archive '{text}': {why}")]
pub struct ParseArchiveUrlError {
    text: String,
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_parsed() {
        for (text, name) in [
            ("https://example.org/a/x.car", "https://example.org/a/x.car"),
            (
                "https://example.org/x.car?sig=secret",
                "https://example.org/x.car",
            ),
            ("http://127.0.0.1:9000/x.car", "http://127.0.0.1:9000/x.car"),
            ("s3://bucket/a/b c.car", "s3://bucket/a/b c.car"),
        ] {
            let url: ArchiveUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), name);
            assert!(!format!("{url:?}").contains("secret"));
        }
    }

    #[test]
    fn the_rest_is_refused_by_name() {
        for (text, said) in [
            ("gs://bucket/x.car", "Google"),
            ("az://container/x.car", "Azure"),
            ("ftp://example.org/x.car", "https://"),
            ("https://me:secret@example.org/x.car", "credentials"),
            ("https://example.org/x.car#part", "fragment"),
            ("s3://bucket", "no object"),
            ("s3:///x.car", "no bucket"),
            ("s3://bucket//x.car", "key"),
            ("s3://bu?cket/x.car", "bucket"),
        ] {
            let error = text.parse::<ArchiveUrl>().expect_err(text).to_string();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
