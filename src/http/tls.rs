//! Whom we believe: the system's certificate authorities, Mozilla's, and those that were named.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::{Cause, Error, Trust, Url};

/// Where distributions keep all authorities in one file: Debian, Ubuntu, Arch and Gentoo; Fedora
/// and RHEL; SUSE; Alpine. Asked for by name: the crate would look into the environment first.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// `extra` are files with authorities, `own` is the folder with what concerns one host alone.
pub(super) fn configuration(
    trust: Trust,
    extra: &[PathBuf],
    own: Option<&Path>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own = own.map(HostFolder::read).transpose()?.unwrap_or_default();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setup(Cause::of(&error)))?;
    let builder = match trust {
        Trust::Checked => {
            let named = named(&[extra, &own.authorities].concat())?;
            match named.is_empty() {
                true => builder.with_root_certificates(roots(&named)?),
                false => builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(Named::new(named, provider)?)),
            }
        }
        Trust::Unchecked => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        }
    };
    let Some((certificate, key)) = own.identity else { return Ok(builder.with_no_client_auth()) };
    let wrong = |path: &Path, source| Error::Certificates { path: path.to_owned(), source };
    let secret =
        PrivateKeyDer::from_pem_file(&key).map_err(|error| wrong(&key, Cause::of(&error)))?;
    builder
        .with_client_auth_cert(chain(&certificate)?, secret)
        .map_err(|error| wrong(&certificate, Cause::of(&error)))
}

/// What a folder of certs.d has: `*.crt` are authorities, `NAME.cert` and `NAME.key` prove who we
/// are (containers-certs.d(5)).
#[derive(Debug, Default)]
struct HostFolder {
    authorities: Vec<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
}

impl HostFolder {
    fn read(folder: &Path) -> Result<Self, Error> {
        let wrong = |path: &Path, source| Error::Certificates { path: path.to_owned(), source };
        let io = |error: io::Error| wrong(folder, Cause::of(&error));
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            files.push(entry.map_err(io)?.path());
        }
        files.sort();
        let mut found = Self::default();
        for path in &files {
            let other = |extension| {
                let other = path.with_extension(extension);
                let lonely = || {
                    let name = other.file_name().unwrap_or_default().display();
                    wrong(path, Cause::say(&format!("{name} is missing beside it")))
                };
                if files.contains(&other) { Ok(other) } else { Err(lonely()) }
            };
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => found.authorities.push(path.clone()),
                // The first one; TLS shows one alone.
                Some("cert") => {
                    let key = other("key")?;
                    found.identity.get_or_insert((path.clone(), key));
                }
                Some("key") => drop(other("cert")?),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The folder among `folders` with what concerns the host of a URL: the first that has one, named as
/// references name the host.
pub(super) fn folder_of(folders: &[PathBuf], url: &Url) -> Option<PathBuf> {
    let names = names_of(url);
    let paths = folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    paths.into_iter().find(|path| path.is_dir())
}

/// The folder that somebody gave for the host of a URL.
pub(super) fn given_for(folders: &[(String, PathBuf)], url: &Url) -> Option<PathBuf> {
    let names = names_of(url);
    let found = folders.iter().find(|(host, _)| names.contains(host));
    found.map(|(_, folder)| folder.clone())
}

/// What references call the host of a URL; nothing where TLS is not spoken.
fn names_of(url: &Url) -> Vec<String> {
    let host = url.host_str().filter(|_| url.scheme() == "https");
    let (Some(host), Some(port)) = (host, url.port_or_known_default()) else { return Vec::new() };
    let mut names = vec![format!("{host}:{port}")];
    if url.port().is_none() {
        names.insert(0, host.to_owned());
    }
    if host == "registry-1.docker.io" {
        names.insert(0, "docker.io".to_owned());
    }
    names
}

/// The certificates in files that the caller named.
fn named(files: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut named = Vec::new();
    for path in files {
        for certificate in certificates(path)? {
            // Each is tried alone, so that the error tells where it is.
            let added = RootCertStore::empty().add(certificate.clone());
            added.map_err(|error| Error::Certificates {
                path: path.clone(),
                source: Cause::of(&error),
            })?;
            named.push(certificate);
        }
    }
    Ok(named)
}

fn roots(named: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(bundle) = BUNDLES.map(Path::new).into_iter().find(|path| path.exists()) {
        // A system's bundle may hold a certificate that is none; Mozilla's are there anyway.
        let found = rustls_native_certs::load_certs_from_paths(Some(bundle), None);
        roots.add_parsable_certificates(found.certs);
    }
    roots.add_parsable_certificates(named.iter().cloned());
    Ok(roots)
}

/// A certificate and those that vouch for it, in their order.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |error: pem::Error| Error::Certificates {
        path: path.to_owned(),
        source: Cause::of(&error),
    };
    let found = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    found.collect::<Result<_, _>>().map_err(wrong)
}

/// All that a file has.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = rustls_native_certs::load_certs_from_paths(Some(path), None);
    match found.errors.first() {
        Some(error) => Err(Error::Certificates { path: path.to_owned(), source: Cause::of(error) }),
        None => Ok(found.certs),
    }
}

/// Accepts what an authority vouches for; and a certificate that the caller named, though it says
/// that it is an authority itself, as self-signed ones do that `openssl req -x509` makes. Others
/// (OpenSSL, Go) accept these too, webpki does not.
#[derive(Debug)]
struct Named {
    named: Vec<CertificateDer<'static>>,
    inner: Arc<WebPkiServerVerifier>,
}

impl Named {
    fn new(
        named: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let roots = Arc::new(roots(&named)?);
        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        Ok(Self { named, inner: inner.map_err(|error| Error::Setup(Cause::of(&error)))? })
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(certificate, others, name, ocsp, now);
        match &verified {
            // webpki has looked at its times before. Its error has no type of its own here.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if format!("{other:?}").contains("CaUsedAsEndEntity")
                    && self.named.contains(certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            _ => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_found_by_host_and_port() {
        let base = tempfile::tempdir().expect("a directory");
        let folders = [base.path().join("first"), base.path().join("second")];
        for name in ["first/h:5000", "second/h:5000", "second/h", "second/docker.io", "first/x:443"]
        {
            fs::create_dir_all(base.path().join(name)).expect(name);
        }
        for (url, expected) in [
            ("https://h:5000/v2/", Some("first/h:5000")),
            ("https://h/v2/", Some("second/h")),
            ("https://h:443/v2/", Some("second/h")),
            ("https://x/", Some("first/x:443")),
            ("https://registry-1.docker.io/v2/", Some("second/docker.io")),
            ("https://h:5001/v2/", None),
            ("http://h:5000/v2/", None),
        ] {
            let url: Url = url.parse().expect(url);
            let found = folder_of(&folders, &url);
            assert_eq!(found, expected.map(|name| base.path().join(name)), "{url}");
            let given = [("h:5000".to_owned(), PathBuf::from("/given"))];
            let is_given = url.as_str().starts_with("https://h:5000/");
            assert_eq!(given_for(&given, &url).is_some(), is_given, "{url}");
        }
    }

    #[test]
    fn a_key_and_its_certificate_belong_together() {
        let folder = tempfile::tempdir().expect("a directory");
        for name in ["b.crt", "a.crt", "me.cert", "me.key", "README"] {
            fs::write(folder.path().join(name), "").expect(name);
        }
        let path = |name: &str| folder.path().join(name);
        let found = HostFolder::read(folder.path()).expect("complete");
        assert_eq!(found.authorities, [path("a.crt"), path("b.crt")]);
        assert_eq!(found.identity, Some((path("me.cert"), path("me.key"))));
        for (gone, told) in [("me.key", "me.key is missing"), ("me.cert", "me.cert is missing")] {
            fs::remove_file(path(gone)).expect(gone);
            let error = HostFolder::read(folder.path()).expect_err(gone);
            let cause = std::error::Error::source(&error).expect("a cause").to_string();
            assert!(cause.contains(told), "{error}: {cause}");
            fs::write(path(gone), "").expect(gone);
        }
    }
}
