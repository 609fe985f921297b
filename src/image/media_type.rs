//! Media types of Docker and OCI, and what they say.

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

/// What both call the same thing: OCI, then Docker.
const SAME: [(&str, &str); 8] = [
    (OCI_MANIFEST, DOCKER_MANIFEST),
    (OCI_INDEX, DOCKER_INDEX),
    (OCI_CONFIG, DOCKER_CONFIG),
    (OCI_LAYER, DOCKER_LAYER),
    (OCI_LAYER_GZIP, DOCKER_LAYER_GZIP),
    (OCI_LAYER_ZSTD, DOCKER_LAYER_ZSTD),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ),
];

/// Whose names manifests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Oci,
    /// Docker's schema 2.
    Docker,
}

impl Family {
    /// Whose name it is; OCI's where neither knows it.
    pub fn of(media_type: &str) -> Self {
        let is_docker = SAME.iter().any(|(_, docker)| *docker == media_type);
        if is_docker { Self::Docker } else { Self::Oci }
    }

    /// The same type by this family's name; what has no name there keeps its own.
    pub fn name_of(self, media_type: &str) -> &str {
        let same = SAME.iter().find_map(|(oci, docker)| match self {
            Self::Oci => (*docker == media_type).then_some(*oci),
            Self::Docker => (*oci == media_type).then_some(*docker),
        });
        same.unwrap_or(media_type)
    }
}

/// A statement of in-toto, in JSON: a layer of a manifest that says something about an image.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Annotations of an entry of an index that is about another one, and what the first says of an
/// attestation (BuildKit's `docs/attestations/attestation-storage.md`).
pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
pub const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
pub const ATTESTATION: &str = "attestation-manifest";

/// What we accept when we ask for a manifest, best first.
pub const MANIFESTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// Whether it names an index (Docker: manifest list).
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_INDEX)
}

pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
}

/// Whether it names the configuration of a container image (an artifact has another one).
pub fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
}

/// Whether it names a file system layer, of any compression; foreign ones included.
pub fn is_layer(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.")
}

/// Whether it names a layer that registries do not keep (`urls` tell where it is).
pub fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

/// Docker's schema 1, of before 2016, which we refuse.
pub fn is_schema_one(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.distribution.manifest.v1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_names_for_the_same_things() {
        for (oci, docker) in SAME {
            assert_eq!((Family::Oci.name_of(docker), Family::Docker.name_of(oci)), (oci, docker));
            assert_eq!((Family::Oci.name_of(oci), Family::Docker.name_of(docker)), (oci, docker));
            assert_eq!((Family::of(oci), Family::of(docker)), (Family::Oci, Family::Docker));
            assert_eq!(is_foreign(oci), is_foreign(docker));
            assert_eq!(is_layer(oci), is_layer(docker));
        }
        let other = "application/vnd.in-toto+json";
        assert_eq!((Family::Oci.name_of(other), Family::Docker.name_of(other)), (other, other));
    }
}
