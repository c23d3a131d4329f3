//! Certificates in files, for [`ClientBuilder::trust`](crate::ClientBuilder::trust).

use rustls::pki_types::{CertificateDer, pem::PemObject};

/// The text holds no certificates, or something that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected certificates in PEM: lines between BEGIN CERTIFICATE and END CERTIFICATE")]
pub struct ParseCertificatesError(String);

/// Returns the certificates in a PEM file, each in DER. Other sections, such as a private key, are passed over.
///
/// # Errors
/// [`ParseCertificatesError`]: no certificate was found, or a section is damaged.
pub fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, ParseCertificatesError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem)
        .map(|found| found.map(|certificate| certificate.to_vec()))
        .collect();
    match all {
        Ok(all) if all.is_empty() => Err(ParseCertificatesError("no certificate".to_owned())),
        Ok(all) => Ok(all),
        Err(error) => Err(ParseCertificatesError(format!("no valid PEM ({error})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::base64;

    #[test]
    fn certificates_are_found_among_other_sections() {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let section = |label, der: &[u8]| {
            let text = base64(der);
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        };
        let der = own.cert.der().to_vec();
        let pem = section("CERTIFICATE", &der);
        let key = section("PRIVATE KEY", &own.signing_key.serialize_der());
        let found = certificates(format!("mine\n{key}{pem}\n{pem}").as_bytes()).unwrap();
        assert_eq!(found, [der.clone(), der]);
        for wrong in ["", "no certificate at all", &*key, &pem[..pem.len() / 2]] {
            let error = certificates(wrong.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("BEGIN CERTIFICATE"), "{error}");
        }
    }
}
