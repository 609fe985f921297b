//! To and from a registry.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bryo::http;
use bryo::image::{Content, Digest, Platform, Reference};
use bryo::registry::{Access, Registries};
use bryo::report::{Event, Outcome, Recorder, Silent};
use bryo::transfer::endpoint::{SCHEMES, Scheme};
use bryo::transfer::{Endpoint, Options, Surroundings, Wishes, sink, source, transfer};

use crate::made::{Made, Place, outcomes};

/// Debian's registry, on a free port.
pub(crate) struct Registry {
    child: Child,
    port: u16,
    registries: Registries,
}

impl Registry {
    pub(crate) fn start(place: &Place) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let config = place.path("registry.yml");
        let data = place.path("registry");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            data.display()
        );
        fs::write(&config, text).expect("written");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let http = Arc::new(http::Client::new(http::Settings::default()));
        Self { child, port, registries: Registries::new(http, Access::default()) }
    }

    /// What endpoints are opened with.
    pub(crate) fn around<'a>(&'a self, place: &'a Place) -> Surroundings<'a> {
        Surroundings {
            store: &place.store,
            registries: &self.registries,
            reporter: &Silent,
            search: "/usr/local/bin:/usr/bin:/bin",
            sockets: &[],
        }
    }

    pub(crate) fn name(&self, rest: &str) -> Reference {
        format!("127.0.0.1:{}/{rest}", self.port).parse().expect(rest)
    }

    pub(crate) fn source(&self, name: &Reference) -> source::Registry {
        source::Registry::new(self.registries.get(name.registry()), name.clone())
    }

    pub(crate) fn sink(&self, name: &Reference) -> sink::Registry {
        sink::Registry::new(self.registries.get(name.registry()), name.clone())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn a_registry_keeps_every_byte() {
    let (made, place) = (Made::usual(), Place::new());
    let registry = Registry::start(&place);
    let name = registry.name("team/app:1");
    let digest = place.take(&made).expect("taken");
    place.send(&digest, &[], Box::new(registry.sink(&name)));

    let other = Place::new();
    assert_eq!(other.take(&registry.source(&name)).expect("pulled"), digest);
    let found = other.store.find(&name.to_string()).expect("named");
    assert_eq!((found.descriptor.digest, found.index), (digest.clone(), None));
    let pinned = name.with_digest(digest.clone());
    assert_eq!(Place::new().take(&registry.source(&pinned)).expect("pulled"), digest);

    // From one registry to another, or to another name, nothing passes through a store.
    let copy = registry.name("copy:1");
    let options = Options::default();
    transfer(&registry.source(&name), &registry.sink(&copy), &options, &Silent).expect("copied");
    assert_eq!(Place::new().take(&registry.source(&copy)).expect("pulled"), digest);

    let error = other.take(&registry.source(&registry.name("none:1"))).expect_err("not there");
    assert!(error.to_string().contains("none"), "{error}");
}

pub(crate) fn an_index_gives_the_wanted_image() {
    let made = Made::index(&["linux/amd64", "linux/arm64", "linux/arm/v6"]);
    let place = Place::new();
    let registry = Registry::start(&place);
    let name = registry.name("many:1");
    let options = Options::default();
    // Whole, and every byte of it.
    transfer(&made, &registry.sink(&name), &options, &Silent).expect("pushed");
    let whole = transfer(
        &registry.source(&name),
        &sink::Store::new(&place.store).packed(),
        &options,
        &Silent,
    )
    .expect("pulled");
    assert_eq!(whole.digest, *made.digest());

    for (wanted, found) in
        [("linux/arm64", "linux/arm64"), ("linux/arm/v7", "linux/arm/v6"), ("amd64", "linux/amd64")]
    {
        let platform: Platform = wanted.parse().expect("valid");
        let options =
            Options { platform: Some(platform), names: vec![name.clone()], ..options.clone() };
        let sink = sink::Store::new(&place.store);
        let chosen =
            transfer(&registry.source(&name), &sink, &options, &Silent).expect("pulled").digest;
        let entry = place.store.find(&name.to_string()).expect("named");
        assert_eq!(entry.descriptor.digest, chosen);
        assert_eq!(entry.index.map(|index| index.digest).as_ref(), Some(made.digest()));
        let content = place.store.content(&entry.descriptor).expect("a manifest");
        let Content::Image(manifest) = content else { panic!("no image") };
        let config = place.store.config(&manifest).expect("a configuration");
        assert_eq!(config.platform().to_string(), found);
    }
    // An image alone is taken, whatever it is for, but not in silence.
    let lone = Made::image(&[], &"linux/arm64".parse().expect("valid"));
    let recorder = Recorder::default();
    let wanted =
        Options { platform: Some("linux/amd64".parse().expect("valid")), ..options.clone() };
    transfer(&lone, &sink::Store::new(&place.store), &wanted, &recorder).expect("taken");
    let warned =
        |event: &Event| matches!(event, Event::Warning { text } if text.contains("linux/arm64"));
    assert!(recorder.events().iter().any(warned));

    let platform = Some("linux/s390x".parse().expect("valid"));
    let options = Options { platform, ..options };
    let sink = sink::Store::new(&place.store);
    let error = transfer(&registry.source(&name), &sink, &options, &Silent).expect_err("not there");
    assert!(error.to_string().contains("linux/arm/v6"), "{error}");
}

pub(crate) fn every_endpoint_is_a_sink_and_a_source() {
    let (made, place) = (Made::usual(), Place::new());
    let registry = Registry::start(&place);
    let around = registry.around(&place);
    let file = |name: &str| place.path(name).display().to_string();
    // Others keep the files alone, and daemons are tested where there is one.
    let is_for_images = |scheme: &&Scheme| {
        !matches!(scheme.name, "dir" | "bundle" | "squashfs" | "sif" | "mount" | "daemon")
    };
    for scheme in SCHEMES.iter().filter(is_for_images) {
        let text = match scheme.name {
            "registry" => format!("registry:{}", registry.name("app:1")),
            "store" => "store:localhost/app:1".to_owned(),
            name => format!("{name}:{}:localhost/app:1", file(name)),
        };
        let endpoint: Endpoint = text.parse().expect(&text);
        let (sink, names) = endpoint.sink(around, &Wishes::default()).expect(&text);
        let options = Options { names, ..Options::default() };
        transfer(&made, &*sink, &options, &Silent).expect(&text);
        sink.finish().expect(&text);

        let source = endpoint.source(around).expect(&text);
        let Content::Image(back) = source.root().expect(&text) else { panic!("{text}") };
        let Content::Image(before) = &made.content else { panic!("it was made as one") };
        assert_eq!(back.config.digest, before.config.digest, "{text}");
        // Such an archive has layers, but no manifest.
        if scheme.name != "docker-archive" {
            assert_eq!(back.bytes, before.bytes, "{text}");
        }
        let other = Place::new();
        assert_eq!(other.take(&*source).expect(&text), back.descriptor.digest);
    }
}

pub(crate) fn nothing_is_sent_twice() {
    let (made, place) = (Made::usual(), Place::new());
    let registry = Registry::start(&place);
    let name = registry.name("app:1");
    let first_pull = |place: &Place| {
        let recorder = Recorder::default();
        let sink = sink::Store::new(&place.store);
        transfer(&registry.source(&name), &sink, &Options::default(), &recorder).expect("pulled");
        outcomes(&recorder)
    };
    let push = |name: &Reference, neighbour: Option<&str>| {
        let recorder = Recorder::default();
        let sink = registry.sink(name);
        let sink = match neighbour {
            Some(neighbour) => sink.near(neighbour),
            None => sink,
        };
        transfer(&made, &sink, &Options::default(), &recorder).expect("pushed");
        outcomes(&recorder)
    };
    assert_eq!(push(&name, None), [Outcome::Done; 3]);
    assert_eq!(push(&name, None), [Outcome::Cached; 3]);
    assert_eq!(push(&registry.name("other:1"), Some("app")), [Outcome::Cached; 3]);
    assert_eq!(first_pull(&place), [Outcome::Done; 3]);
    assert_eq!(first_pull(&place), [Outcome::Cached; 3]);
    let digest: &Digest = made.digest();
    place.store.find(digest.hex()).expect("it is there");
}
