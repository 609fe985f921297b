//! Whom we believe: the system's certificate authorities, Mozilla's, and those that were named.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Cause, Error, Trust};

/// Where distributions keep all authorities in one file: Debian, Ubuntu, Arch and Gentoo; Fedora
/// and RHEL; SUSE; Alpine. Asked for by name: the crate would look into the environment first.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(super) fn configuration(trust: Trust, extra: &[PathBuf]) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setup(Cause::of(&error)))?;
    Ok(match trust {
        Trust::Checked => builder.with_root_certificates(roots(extra)?).with_no_client_auth(),
        Trust::Unchecked => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth(),
    })
}

fn roots(extra: &[PathBuf]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(bundle) = BUNDLES.map(Path::new).into_iter().find(|path| path.exists()) {
        // A system's bundle may hold a certificate that is none; Mozilla's are there anyway.
        let found = rustls_native_certs::load_certs_from_paths(Some(bundle), None);
        roots.add_parsable_certificates(found.certs);
    }
    for path in extra {
        let wrong = |source| Error::Certificates { path: path.clone(), source };
        let found = rustls_native_certs::load_certs_from_paths(Some(path), None);
        if let Some(error) = found.errors.first() {
            return Err(wrong(Cause::of(error)));
        }
        for certificate in found.certs {
            roots.add(certificate).map_err(|error| wrong(Cause::of(&error)))?;
        }
    }
    Ok(roots)
}

/// Accepts every certificate, but only from who holds its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
