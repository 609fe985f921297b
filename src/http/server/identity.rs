//! [`Identity`]: a certificate and its key, read or made.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::Error;

/// Who a server is.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
    certificate: Vec<u8>,
}

/// A new certificate and its key, as PEM.
pub struct Generated {
    pub certificate: String,
    pub key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generated")
    }
}

impl Generated {
    /// A certificate that its own key signed, for these host names and addresses.
    pub fn new(names: &[String]) -> Result<Self, Error> {
        let failed = |error: rcgen::Error| Error::Identity {
            path: "making a certificate".to_owned(),
            why: error.to_string(),
        };
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, "bryo serve");
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    pub fn identity(&self) -> Result<Identity, Error> {
        Identity::new(self.certificate.as_bytes(), self.key.as_bytes(), "the new certificate")
    }
}

impl Identity {
    /// From PEM files: a certificate, with those that lead to its authority, and its key.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| Error::Identity {
                path: path.display().to_string(),
                why: error.to_string(),
            })
        };
        let shown = format!("{} and {}", certificate.display(), key.display());
        Self::new(&read(certificate)?, &read(key)?, &shown)
    }

    fn new(certificate: &[u8], key: &[u8], shown: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::Identity { path: shown.to_owned(), why };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(error.to_string()))?;
        let first = chain.first().ok_or_else(|| wrong("there is no certificate".to_owned()))?;
        let first = first.as_ref().to_vec();
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| wrong(format!("there is no private key: {error}")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| wrong(error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), certificate: first })
    }

    /// The server's own certificate (DER).
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_can_be_used_and_nothing_else() {
        let made = Generated::new(&["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("made");
        let identity = made.identity().expect("usable");
        assert!(!identity.certificate().is_empty());
        let other = Generated::new(&["localhost".to_owned()]).expect("made");
        let (certificate, key) = (made.certificate.as_bytes(), other.key.as_bytes());
        for (certificate, key) in [(certificate, key), (key, key), (certificate, certificate)] {
            assert!(Identity::new(certificate, key, "x").is_err());
        }
    }
}
