//! The settings of S3: where it is, and the keys.
//!
//! Invariant: keys come from the host alone, or from the variables or the file that it asks for. No metadata service is
//! ever asked for any.

use std::{fmt, fs, io, path::Path};

/// Where S3 is, and who asks. The default is AWS in `us-east-1`, without keys: for buckets that everybody may read.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct S3Options {
    /// The URL of a server other than AWS. The bucket's name is put after it as a segment of the path.
    pub endpoint: Option<String>,
    /// The region, which is a part of each signature.
    pub region: Option<String>,
    /// The keys to sign with. Without them nothing is signed.
    pub keys: Option<S3Keys>,
}

/// A pair of keys, and the token that belongs to temporary ones. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl S3Keys {
    /// These keys.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            token: None,
        }
    }

    /// With the token of temporary keys.
    pub fn with_token(self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self
        }
    }

    /// The keys of `profile` in a file of the form of `~/.aws/credentials`. `None` if it has none.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn from_file(path: &Path, profile: &str) -> io::Result<Option<Self>> {
        Ok(Self::in_profile(&fs::read_to_string(path)?, profile))
    }

    fn in_profile(text: &str, profile: &str) -> Option<Self> {
        let (mut id, mut secret, mut token) = (None, None, None);
        let mut inside = false;
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                inside = name.trim() == profile;
            } else if let Some((name, value)) = line.split_once('=')
                && inside
            {
                let value = Some(value.trim().to_owned());
                match name.trim() {
                    "aws_access_key_id" => id = value,
                    "aws_secret_access_key" => secret = value,
                    "aws_session_token" => token = value,
                    _ => {}
                }
            }
        }
        Some(Self {
            id: id?,
            secret: secret?,
            token,
        })
    }
}

impl S3Options {
    /// The settings in the variables that AWS's own tools read, asked for by name: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`; else the file that `AWS_SHARED_CREDENTIALS_FILE` names, with the
    /// profile `AWS_PROFILE`; `AWS_REGION` or `AWS_DEFAULT_REGION`; `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// If the file cannot be read, or does not have the profile; if there is one key without the other.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> io::Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let keys = match (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => Some(S3Keys {
                id,
                secret,
                token: set("AWS_SESSION_TOKEN"),
            }),
            (None, None) => match set("AWS_SHARED_CREDENTIALS_FILE") {
                Some(file) => {
                    let profile = set("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
                    let keys = S3Keys::from_file(Path::new(&file), &profile);
                    let keys = keys.map_err(|error| {
                        io::Error::new(error.kind(), format!("cannot read '{file}': {error}"))
                    })?;
                    let none = || format!("'{file}' has no keys in the profile '{profile}'");
                    Some(keys.ok_or_else(|| io::Error::other(none()))?)
                }
                None => None,
            },
            (Some(_), None) | (None, Some(_)) => {
                return Err(io::Error::other(
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together, and one is not set",
                ));
            }
        };
        Ok(Self {
            endpoint: set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL")),
            region: set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")),
            keys,
        })
    }
}

impl fmt::Debug for S3Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const FILE: &str = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=s=1\n\n[ other ]\n\
                        aws_access_key_id=B\naws_secret_access_key = s2\naws_session_token = t\n[half]\n\
                        aws_access_key_id=C\n";

    #[test]
    fn a_profile_of_a_file_is_read() {
        let found = |profile| S3Keys::in_profile(FILE, profile);
        assert_eq!(found("default"), Some(S3Keys::new("A", "s=1")));
        assert_eq!(found("other"), Some(S3Keys::new("B", "s2").with_token("t")));
        assert_eq!(found("half"), None);
        assert_eq!(found("none"), None);
        assert!(!format!("{:?}", found("other")).contains("s2"));
    }

    #[test]
    fn variables_come_before_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys");
        fs::write(&file, FILE).expect("written");
        let file = file.to_str().expect("UTF-8").to_owned();
        let from = |set: &[(&str, &str)]| {
            let set: HashMap<_, _> = set.iter().copied().collect();
            S3Options::from_variables(|name| set.get(name).map(|value| (*value).to_owned()))
        };
        let options = from(&[]).expect("nothing is set");
        assert!(options.keys.is_none() && options.endpoint.is_none());
        let keys = |set: &[(&str, &str)]| from(set).expect("keys").keys;
        let named = ("AWS_SHARED_CREDENTIALS_FILE", &*file);
        assert_eq!(keys(&[named]), Some(S3Keys::new("A", "s=1")));
        assert_eq!(
            keys(&[
                named,
                ("AWS_ACCESS_KEY_ID", "D"),
                ("AWS_SECRET_ACCESS_KEY", "s3")
            ]),
            Some(S3Keys::new("D", "s3"))
        );
        assert!(from(&[named, ("AWS_PROFILE", "none")]).is_err());
        assert!(from(&[("AWS_ACCESS_KEY_ID", "D")]).is_err());
        assert!(from(&[("AWS_SHARED_CREDENTIALS_FILE", "/no/such/file")]).is_err());
    }
}
