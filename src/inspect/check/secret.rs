//! What files look like secrets: by their names, and by the first line of a private key.

use std::path::Path;

/// Names that tools give to files with passwords, tokens and keys, wherever they lie.
const NAMES: [&str; 19] = [
    ".dockercfg",
    ".env",
    ".git-credentials",
    ".htpasswd",
    ".netrc",
    "_netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    ".vault-token",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "id_rsa",
    "kubeconfig",
    "credentials.json",
    "service-account.json",
];

/// The same with the directory that makes the difference.
const PATHS: [&str; 8] = [
    ".aws/credentials",
    ".azure/accessTokens.json",
    ".config/gcloud/application_default_credentials.json",
    ".config/gcloud/credentials.db",
    ".docker/config.json",
    ".config/containers/auth.json",
    ".kube/config",
    ".terraform.d/credentials.tfrc.json",
];

/// So many bytes of a file are looked at.
pub(super) const HEAD: usize = 64;

/// Why a file looks like a secret, if it does. `head` are its first bytes; an empty file hides
/// nothing.
pub(super) fn looks_secret(path: &Path, head: &[u8]) -> Option<&'static str> {
    if head.is_empty() {
        return None;
    }
    let name = path.file_name()?.to_str().unwrap_or_default();
    if NAMES.contains(&name) || PATHS.iter().any(|end| path.ends_with(end)) {
        return Some("its name is that of a file with credentials");
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |part: &[u8]| line.windows(part.len()).any(|window| window == part);
    match line.starts_with(b"-----BEGIN ") && has(b"PRIVATE KEY") {
        true => Some("it begins as a private key does"),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_and_first_line() {
        for (path, head, expected) in [
            ("root/.ssh/id_rsa", "x", true),
            ("root/.ssh/id_rsa.pub", "ssh-rsa", false),
            ("root/.ssh/id_rsa", "", false),
            ("root/.aws/credentials", "x", true),
            ("etc/credentials", "x", false),
            ("root/.docker/config.json", "{}", true),
            ("app/config.json", "{}", false),
            ("etc/key", "-----BEGIN RSA PRIVATE KEY-----\nx", true),
            ("etc/key", "-----BEGIN OPENSSH PRIVATE KEY-----\nx", true),
            ("etc/cert", "-----BEGIN CERTIFICATE-----\nPRIVATE KEY", false),
            ("app/.env", "A=1", true),
        ] {
            let found = looks_secret(Path::new(path), head.as_bytes()).is_some();
            assert_eq!(found, expected, "{path} {head}");
        }
    }
}
