//! Credentials, and the means to keep them secret.
//!
//! They leave this file only as the value of one header, which is marked as sensitive.

use std::fmt;

use http::HeaderValue;

/// The credentials of a client. `Debug` shows only their kind, and neither an error nor the display of an
/// [`Endpoint`](crate::Endpoint) holds the secret.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// No credentials.
    #[default]
    None,
    /// A token: `Authorization: Bearer …`.
    Bearer(String),
    /// A name and a password: `Authorization: Basic …`.
    Basic {
        /// The user's name, without a colon.
        user: String,
        /// The password.
        password: String,
    },
}

impl Auth {
    /// Credentials that are a token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer(token.into())
    }

    /// Credentials that are a name and a password.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic {
            user: user.into(),
            password: password.into(),
        }
    }

    /// The value of the header `Authorization`. The error says what is wrong, without the secret.
    pub(crate) fn header(&self) -> Result<Option<HeaderValue>, &'static str> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Bearer(token) if token.is_empty() => return Err("the bearer token is empty"),
            Self::Bearer(token) => format!("Bearer {token}"),
            Self::Basic { user, .. } if user.contains(':') => {
                return Err("a user name for basic authentication cannot hold a colon");
            }
            Self::Basic { user, password } => {
                format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
            }
        };
        let mut value = HeaderValue::try_from(text).map_err(
            |_| "the credentials hold a character that a header cannot hold, such as a newline",
        )?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer(..)",
            Self::Basic { .. } => "Basic(..)",
        })
    }
}

/// Standard base64 with padding (RFC 4648, section 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = group
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = (number >> (18 - 6 * place)) & 63;
            text.push(match place <= group.len() {
                true => char::from(DIGITS[digit as usize]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_the_standards_have_them() {
        let basic = Auth::basic("Aladdin", "open sesame").header().unwrap();
        let basic = basic.unwrap();
        assert_eq!(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(basic.is_sensitive());
        let bearer = Auth::bearer("abc").header().unwrap().unwrap();
        assert_eq!(bearer, "Bearer abc");
        assert_eq!(Auth::None.header(), Ok(None));
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_nothing_shows_the_secret() {
        for wrong in [
            Auth::bearer(""),
            Auth::bearer("s3cret\n"),
            Auth::basic("a:b", "s3cret"),
            Auth::basic("a", "s3cret"),
        ] {
            assert!(!format!("{wrong:?}").contains("s3cret"));
            if let Err(reason) = wrong.header() {
                assert!(!reason.contains("s3cret"));
            }
        }
        assert!(Auth::bearer("").header().is_err());
        assert!(Auth::bearer("s3cret\n").header().is_err());
        assert!(Auth::basic("a:b", "s3cret").header().is_err());
        let header = Auth::bearer("s3cret").header().unwrap();
        assert!(!format!("{header:?}").contains("s3cret"));
    }
}
