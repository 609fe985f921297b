//! Signatures and what else is said about images.

use bryo::image::{Content, Descriptor, Digest, Reference, media_type};
use bryo::report::{Outcome, Recorder, Silent};
use bryo::transfer::{About, Endpoint, Options, Source, Wishes, transfer, verify};

use crate::made::{Made, Place, outcomes};
use crate::registries::Registry;

/// A manifest that says something about `subject`, with a blob of its own.
fn said(made: &mut Made, subject: Option<&Descriptor>, text: &str) -> Content {
    let mut put = |kind: &str, bytes: &[u8]| {
        let descriptor = Descriptor::of(kind, bytes);
        made.blobs.insert(descriptor.digest.clone(), bytes.to_vec());
        descriptor
    };
    let mut value = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": "application/x-moss",
        "config": put("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [put("text/plain", text.as_bytes())],
        "annotations": {"text": text},
    });
    if let Some(subject) = subject {
        value["subject"] = serde_json::to_value(subject).expect("JSON");
    }
    let content = Content::parse(value.to_string().into_bytes(), None).expect("a manifest");
    made.others.insert(content.descriptor().digest.clone(), content.clone());
    content
}

fn tag_of(digest: &Digest, kind: &str) -> String {
    format!("sha256-{}.{kind}", digest.hex())
}

/// A registry with an index about which, and about one of whose images, something is said; about
/// the first thing said, too; and a tag as cosign has it.
fn talked_about(registry: &Registry) -> (Reference, Made, Vec<Digest>) {
    let name = registry.name("talk:1");
    let mut made = Made::index(&["linux/amd64", "linux/arm64"]);
    let root = made.content.descriptor().clone();
    let Content::Index(index) = made.content.clone() else { panic!("it was made as one") };
    let of_root = said(&mut made, Some(&root), "of the index");
    let of_said = said(&mut made, Some(of_root.descriptor()), "of what is said");
    let of_image = said(&mut made, Some(&index.manifests[1]), "of an image");
    let signature = said(&mut made, None, "a signature");
    let options = Options::default();
    transfer(&made, &registry.sink(&name), &options, &Silent).expect("pushed");
    let mut digests = Vec::new();
    for (content, tag) in [
        (&of_root, None),
        (&of_said, None),
        (&of_image, None),
        (&signature, Some(tag_of(&root.digest, "sig"))),
    ] {
        let digest = content.descriptor().digest.clone();
        let target = match tag {
            Some(tag) => registry.name(&format!("talk:{tag}")),
            None => name.with_digest(digest.clone()),
        };
        let one = Made { content: content.clone(), ..made.clone() };
        transfer(&one, &registry.sink(&target), &options, &Silent).expect("pushed");
        digests.push(digest);
    }
    (name, made, digests)
}

/// All that a source knows to be said about what it holds, sorted.
fn heard(source: &dyn Source) -> Vec<Digest> {
    let root = source.root().expect("there");
    let mut subjects = vec![root.descriptor().digest.clone()];
    if let Content::Index(index) = &root {
        subjects.extend(index.manifests.iter().map(|entry| entry.digest.clone()));
    }
    let mut found = Vec::new();
    while let Some(subject) = subjects.pop() {
        for entry in source.referrers(&subject).expect("listed") {
            let content = source.manifest(&entry).expect("there");
            assert_eq!(content.subject().map(|subject| &subject.digest), Some(&subject));
            let Content::Artifact(manifest) = content else { panic!("it was made as one") };
            assert_eq!(entry.artifact_type.as_deref(), Some("application/x-moss"));
            let mut bytes = Vec::new();
            source.open(&manifest.layers[0]).expect("there").read_to_end(&mut bytes).expect("read");
            assert_eq!(Digest::of(&bytes), manifest.layers[0].digest);
            found.push(entry.digest.clone());
            subjects.push(entry.digest);
        }
        if let Some(content) = source.tagged(&tag_of(&subject, "sig")).expect("asked") {
            found.push(content.descriptor().digest.clone());
        }
    }
    found.sort();
    found
}

pub(crate) fn what_is_said_goes_everywhere() {
    let place = Place::new();
    let registry = Registry::start(&place);
    let (name, made, mut digests) = talked_about(&registry);
    digests.sort();
    let around = registry.around(&place);
    let file = |name: &str| place.path(name).display().to_string();
    let mut from: Endpoint = format!("registry:{name}").parse().expect("a name");
    // From each place to the next.
    for text in [
        format!("registry:{}", registry.name("copy:2")),
        format!("oci:{}:2", file("layout")),
        "store:localhost/talk:2".to_owned(),
        format!("oci-archive:{}", file("archive")),
        format!("registry:{}", registry.name("last:2")),
    ] {
        let to: Endpoint = text.parse().expect(&text);
        let source = from.source(around).expect(&text);
        let (sink, own) = to.sink(around, &Wishes::default()).expect(&text);
        let names = if own.is_empty() { source.names() } else { own };
        let options = Options { names, about: About::Required, ..Options::default() };
        transfer(&*source, &*sink, &options, &Silent).expect(&text);
        sink.finish().expect(&text);
        let copied = to.source(around).expect(&text);
        assert_eq!(copied.root().expect(&text).bytes(), made.content.bytes(), "{text}");
        assert_eq!(heard(&*copied), digests, "{text}");
        verify(&*copied, Some(made.digest())).expect(&text);
        from = to;
    }
    // What has no room says so, if it must, and is silent else.
    let archive: Endpoint = format!("docker-archive:{}", file("d.tar")).parse().expect("one");
    let source = from.source(around).expect("there");
    for (about, fine) in [(About::Required, false), (About::Moved, true), (About::Ignored, true)] {
        let (sink, _) = archive.sink(around, &Wishes::default()).expect("a sink");
        let platform = Some("linux/amd64".parse().expect("one"));
        let options = Options { about, platform, ..Options::default() };
        assert_eq!(transfer(&*source, &*sink, &options, &Silent).is_ok(), fine, "{about:?}");
    }
    let plain = registry.name("plain:1");
    transfer(&*source, &registry.sink(&plain), &Options::default(), &Silent).expect("copied");
    assert_eq!(heard(&registry.source(&plain)), []);
}

pub(crate) fn an_index_is_copied_once() {
    let place = Place::new();
    let registry = Registry::start(&place);
    let name = registry.name("a:1");
    let made = Made::index(&["linux/amd64", "linux/arm64"]);
    let push = |name: &Reference| {
        let recorder = Recorder::default();
        let sink = registry.sink(name).tagged(vec!["more".to_owned()]);
        transfer(&made, &sink, &Options::default(), &recorder).expect("pushed");
        outcomes(&recorder)
    };
    assert_eq!(push(&name), [Outcome::Done; 2]);
    // Its images are there, so that nobody asks for their layers.
    assert_eq!(push(&name), []);
    let more = registry.source(&registry.name("a:more"));
    verify(&more, Some(made.digest())).expect("it has another tag");
    let missing = registry.source(&registry.name("b:1"));
    verify(&missing, None).expect_err("there is none");
    let wrong = Digest::of(b"something else");
    let error = verify(&more, Some(&wrong)).expect_err("another digest").to_string();
    assert!(error.contains(&wrong.to_string()), "{error}");
}
