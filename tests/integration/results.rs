//! What comes out of a build: configuration and history, squashed layers, times, annotations.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Judge, Place, Said, busybox, has};

/// Builds `dockerfile` as `app`, with the words of `line`.
#[track_caller]
fn build(place: &Place, line: &str, dockerfile: &str) -> Said {
    let context = place.context("context", dockerfile, &[("file", "f\n")]);
    place.bryo("build -q -t app").args(line.split_whitespace()).arg(context).succeeds()
}

/// Writes `app` as a layout, and gives its directory.
fn layout(place: &Place) -> PathBuf {
    let oci = place.path("work/layout");
    drop(fs::remove_dir_all(&oci));
    place.bryo("save --format oci-dir -o").arg(&oci).arg("app").succeeds();
    oci
}

fn blob(layout: &Path, digest: &Value) -> PathBuf {
    layout.join("blobs").join(digest.as_str().expect("a digest").replace(':', "/"))
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// The manifest and the configuration of `app`.
fn parts(place: &Place) -> (PathBuf, Value, Value) {
    let oci = layout(place);
    let index = read(&oci.join("index.json"));
    let manifest = read(&blob(&oci, &index["manifests"][0]["digest"]));
    let config = read(&blob(&oci, &manifest["config"]["digest"]));
    (oci, manifest, config)
}

/// The members of a layer of `app`, as tar lists them.
fn members(place: &Place, layout: &Path, manifest: &Value, layer: usize) -> Vec<String> {
    let path = blob(layout, &manifest["layers"][layer]["digest"]);
    let said = place
        .run("tar")
        .args(["--numeric-owner", "--full-time", "--utc", "-tvf"])
        .arg(path)
        .succeeds();
    said.text().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_history_is_that_of_the_reference() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "ARG G=global\n\
        FROM base\n\
        ARG A=1 B\n\
        ARG G\n\
        ENV x=\"a b\" y=$A\n\
        LABEL one=1 \"two words\"=\"2 $A\"\n\
        MAINTAINER moss <m@example>\n\
        RUN true\n\
        RUN [\"true\", \"a b\"]\n\
        RUN <<end\n\
        echo 1\n\
        echo 2\n\
        end\n\
        WORKDIR /w\n\
        WORKDIR sub\n\
        WORKDIR /\n\
        COPY --chown=1:2 --chmod=600 file /f\n\
        COPY <<here /h\n\
        x\n\
        here\n\
        ADD file /g/\n\
        EXPOSE 81 80/udp 81\n\
        VOLUME /a b\n\
        USER 5:6\n\
        STOPSIGNAL 9\n\
        SHELL [\"/bin/sh\", \"-ec\"]\n\
        HEALTHCHECK --interval=90s --retries=3 CMD [\"a\", \"b\"]\n\
        ONBUILD RUN true\n\
        CMD [\"c\", \"d\\\"\\t\"]\n\
        ENTRYPOINT run me\n";
    build(&place, "--build-arg B=2", dockerfile);
    let (_, manifest, config) = parts(&place);
    let history = config["history"].as_array().expect("a history");
    let by: Vec<(&str, bool)> = history[1..]
        .iter()
        .map(|entry| {
            assert_eq!(entry["comment"], "buildkit.dockerfile.v0");
            assert_eq!(entry["author"], Value::Null, "the reference has none: {entry}");
            assert!(entry["created"].is_string());
            (entry["created_by"].as_str().expect("text"), entry["empty_layer"] == true)
        })
        .collect();
    let args = "|3 A=1 B=2 G=global";
    let expected = [
        ("ARG A=1 B=2", true),
        ("ARG G=global", true),
        ("ENV x=a b y=1", true),
        ("LABEL one=1 two words=2 1", true),
        ("MAINTAINER moss <m@example>", true),
        (&format!("RUN {args} /bin/sh -c true # buildkit"), false),
        (&format!("RUN {args} true a b # buildkit"), false),
        (&format!("RUN {args} /bin/sh -c echo 1\necho 2\n # buildkit"), false),
        ("WORKDIR /w", false),
        ("WORKDIR /w/sub", false),
        ("WORKDIR /", true),
        ("COPY --chown=1:2 --chmod=600 file /f # buildkit", false),
        ("COPY <<here /h # buildkit", false),
        ("ADD file /g/ # buildkit", false),
        ("EXPOSE [80/udp 81/tcp 81/tcp]", true),
        ("VOLUME [/a b]", true),
        ("USER 5:6", true),
        ("STOPSIGNAL 9", true),
        ("SHELL [/bin/sh -ec]", true),
        (
            "HEALTHCHECK {Test:[CMD a b] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s \
             Retries:3}",
            true,
        ),
        (r#"CMD ["c" "d\"\t"]"#, true),
        (r#"ENTRYPOINT ["/bin/sh" "-ec" "run me"]"#, true),
    ];
    assert_eq!(by, expected);
    let layers = by.iter().filter(|(_, empty)| !empty).count();
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(layers + 1));
    assert_eq!(config["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(layers + 1));
    assert_eq!(config["author"], "moss <m@example>");
    assert_eq!(config["created"], history.last().expect("one")["created"]);
    assert_eq!(
        config["config"],
        json!({
            "User": "5:6",
            "ExposedPorts": {"80/udp": {}, "81/tcp": {}},
            "Env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "x=a b", "y=1"
            ],
            "Entrypoint": ["/bin/sh", "-ec", "run me"],
            "Cmd": ["c", "d\"\t"],
            "Healthcheck": {
                "Test": ["CMD", "a", "b"], "Interval": 90_000_000_000_i64, "Retries": 3
            },
            "ArgsEscaped": true,
            "Volumes": {"/a": {}, "b": {}},
            "WorkingDir": "/",
            "OnBuild": ["RUN true"],
            "Labels": {"one": "1", "two words": "2 1"},
            "StopSignal": "9",
            "Shell": ["/bin/sh", "-ec"],
        })
    );
}

#[test]
fn the_epoch_sets_times_of_new_entries_alone() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let plain = "FROM base\nRUN touch /x\nENV a=1\n";
    let of = |config: &Value, at: usize| config["history"][at]["created"].clone();
    build(&place, "", plain);
    let (_, _, config) = parts(&place);
    let of_base = of(&config, 0);
    let global = "ARG SOURCE_DATE_EPOCH=5\nFROM base\nRUN touch /x\nENV a=1\n";
    let context = place.context("c", plain, &[]);
    let other = place.context("d", global, &[]);
    for (line, variable, context, expected) in [
        ("--source-date-epoch 1", "9", &context, "1970-01-01T00:00:01Z"),
        ("", "2", &context, "1970-01-01T00:00:02Z"),
        (
            "--build-arg SOURCE_DATE_EPOCH=3 --source-date-epoch 1",
            "9",
            &context,
            "1970-01-01T00:00:03Z",
        ),
        ("", "", &other, "1970-01-01T00:00:05Z"),
        ("", "4", &other, "1970-01-01T00:00:04Z"),
    ] {
        let said = place
            .bryo("build -q -t app")
            .args(line.split_whitespace())
            .arg(context)
            .env("SOURCE_DATE_EPOCH", variable)
            .succeeds();
        let (_, _, config) = parts(&place);
        let created = [config["created"].clone(), of(&config, 1), of(&config, 2)];
        assert_eq!(created, [expected, expected, expected], "{line}: {said}");
        assert_eq!(of(&config, 0), of_base, "the base's stays");
    }
    let said = place.bryo("build -q --build-arg SOURCE_DATE_EPOCH=soon").arg(&context).fails(2);
    said.mentions("invalid SOURCE_DATE_EPOCH: soon");
}

#[test]
fn rewritten_times_make_builds_the_same() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\n\
        RUN mkdir /d && echo x > /d/new && touch -d '2001-01-01 00:00:00' /d/old && ln -s new /d/link\n\
        COPY file /late\n\
        RUN echo y >> /d/new\n";
    let context = place.context("context", dockerfile, &[("file", "f\n")]);
    let build = |line: &str| {
        let words = line.split_whitespace();
        place.bryo("build -q -t app --source-date-epoch 1000000000").args(words).arg(&context)
    };
    let digest = build("--rewrite-timestamp").succeeds().text();
    assert_eq!(build("--rewrite-timestamp").succeeds().text(), digest, "cached steps too");
    assert_eq!(build("-o type=image,rewrite-timestamp=true").succeeds().text(), digest);
    let (oci, manifest, _) = parts(&place);
    let lines: Vec<String> =
        (1..4).flat_map(|layer| members(&place, &oci, &manifest, layer)).collect();
    let times = ["2001-09-09 01:46:40", "2001-01-01 00:00:00"];
    let late = lines.iter().find(|line| !times.iter().any(|time| line.contains(time)));
    assert_eq!(late, None, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(times[1]) && line.ends_with("d/old")));
    let script = "cat /d/link; stat -c %Y /late";
    assert_eq!(place.bryo("run app sh -c").arg(script).succeeds().text(), "x\ny\n1000000000");
    // The base's own layer is untouched.
    let base = place.bryo("inspect --manifest base").succeeds().json();
    assert_eq!(manifest["layers"][0], base["layers"][0]);
    // A stage can stand on it.
    let child = place.context("child", "FROM app\nRUN cat /d/new\n", &[]);
    place.bryo("build -q").arg(child).succeeds();
    // Elsewhere, where nothing is cached, and later.
    place.bryo("save -q --format oci -o base.tar base").succeeds();
    place.bryo("--storage other load -q -i base.tar").succeeds();
    let other = build("--storage other --rewrite-timestamp").succeeds().text();
    assert_eq!(other, digest);
    // What was not asked for is as it was.
    assert_ne!(build("").succeeds().text(), digest);
    let none = place.bryo("build -q --rewrite-timestamp").arg(&context).succeeds();
    none.mentions("there is no SOURCE_DATE_EPOCH");
}

#[test]
fn squashed_layers_are_one() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base AS first\n\
        RUN mkdir -p /d/e && echo 1 > /d/gone && echo 2 > /d/kept && echo 3 > /d/e/f && rm -r /tmp\n\
        FROM first\n\
        RUN rm /d/gone /etc/group && rm -r /d/e && mkdir /d/e && echo 4 > /d/e/g\n\
        RUN /bin/busybox mknod /d/null c 1 3 && chown 33:44 /d/kept && chmod 4755 /d/kept && \\\n\
            ln /d/kept /d/hard && mv /bin/wc /bin/words\n\
        ENV a=1\n\
        COPY file /d/file\n";
    let said = build(&place, "--squash", dockerfile);
    assert_eq!(build(&place, "--squash", dockerfile).text(), said.text(), "it is remembered");
    let (oci, manifest, config) = parts(&place);
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(2));
    let base = place.bryo("inspect --manifest base").succeeds().json();
    assert_eq!(manifest["layers"][0], base["layers"][0]);
    let entries = members(&place, &oci, &manifest, 1);
    let mut shown: Vec<String> = entries
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.splitn(6, ' ').collect();
            let size = if words[0].starts_with('c') { words[2] } else { "" };
            format!("{} {} {}{size}", words[0], words[1], words[5])
        })
        .collect();
    shown.sort_by(|a, b| a.split(' ').nth(2).cmp(&b.split(' ').nth(2)));
    assert_eq!(
        shown,
        [
            "---------- 0/0 .wh.tmp",
            "drwxr-xr-x 0/0 bin/",
            "---------- 0/0 bin/.wh.wc",
            "lrwxrwxrwx 0/0 bin/words -> busybox",
            "drwxr-xr-x 0/0 d/",
            "drwxr-xr-x 0/0 d/e/",
            "-rw-r--r-- 0/0 d/e/g",
            "-rw-r--r-- 0/0 d/file",
            "-rwsr-xr-x 33/44 d/hard",
            "hrwsr-xr-x 33/44 d/kept link to d/hard",
            "crw-r--r-- 0/0 d/null1,3",
            "drwxr-xr-x 0/0 etc/",
            "---------- 0/0 etc/.wh.group",
        ]
    );
    // The history is as docker leaves it.
    let history = config["history"].as_array().expect("a history");
    assert!(history[1..history.len() - 1].iter().all(|entry| entry["empty_layer"] == true));
    let last = history.last().expect("one");
    let comment = last["comment"].as_str().expect("a comment");
    let base = place.bryo("inspect base").succeeds().json()[0]["Id"].clone();
    assert!(comment.starts_with("merge sha256:"), "{comment}");
    assert!(comment.ends_with(&format!(" to {}", base.as_str().expect("an ID"))), "{comment}");
    assert_eq!((&last["created_by"], &last["empty_layer"]), (&Value::Null, &Value::Null));
    let names = place.bryo("run app sh -c").arg("find /d | sort").succeeds();
    assert_eq!(names.text(), "/d\n/d/e\n/d/e/g\n/d/file\n/d/hard\n/d/kept\n/d/null");
    // Without a base there is nothing to leave out.
    build(&place, "--squash", "FROM scratch\nCOPY file /a\nCOPY file /b\n");
    let (oci, manifest, config) = parts(&place);
    assert_eq!(members(&place, &oci, &manifest, 0).len(), 2);
    let comment = config["history"][2]["comment"].as_str().expect("a comment");
    assert!(comment.starts_with("create new from sha256:"), "{comment}");
}

#[test]
fn a_squashed_image_is_what_it_was_before() {
    let place = Place::new();
    if !busybox(&place) || !has("umoci", "umoci") {
        return;
    }
    let Some(judge) = Judge::new(&place) else { return };
    let dockerfile = "FROM base\n\
        RUN mkdir -p /a/b /c && echo 1 > /a/b/1 && echo 2 > /a/2 && ln -s a /link && mkfifo /c/p\n\
        RUN rm -r /a/b && ln /a/2 /c/3 && chown -R 1:2 /c && rm /a/2 && mkdir /a/2\n\
        RUN rm -r /c && echo c > /c && rm -r /usr && ln -s bin /usr\n";
    let mut trees = Vec::new();
    for line in ["", "--squash"] {
        build(&place, line, dockerfile);
        let oci = layout(&place);
        let bundle = format!("bundle{}", trees.len());
        judge
            .run("buildah")
            .args(["unshare", "umoci", "unpack", "--image"])
            .arg(format!("{}:latest", oci.display()))
            .arg(&bundle)
            .succeeds();
        let script = format!(
            "cd {bundle}/rootfs && find . -type d -printf '%p %M %U:%G\\n' -o -printf '%p %M %U:%G %n %s %l\\n' | sort"
        );
        trees.push(judge.run("buildah").args(["unshare", "sh", "-ec", &script]).succeeds().text());
    }
    assert!(trees[0].lines().count() > 50, "{}", trees[0]);
    assert_eq!(trees[0], trees[1]);
}

#[test]
fn annotations_stand_where_they_were_wanted() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("context", "FROM scratch\nCOPY file /f\n", &[("file", "f\n")]);
    place
        .bryo("build -q -t app:1 --annotation a=1 --annotation manifest:b=x=y")
        .args([
            "--annotation",
            "manifest[linux/amd64],manifest-descriptor:c=3",
            "--platform",
            "linux/amd64",
        ])
        .args(["-o", "type=oci,tar=false,dest=out", "-o", "type=image,annotation.d=4"])
        .arg(&context)
        .succeeds();
    let out = place.path("work/out");
    let index = read(&out.join("index.json"));
    let entry = &index["manifests"][0];
    assert_eq!(entry["annotations"]["c"], "3");
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1");
    let created = entry["annotations"]["org.opencontainers.image.created"].as_str();
    assert!(created.is_some_and(|text| text.ends_with('Z')), "{index}");
    let manifest = read(&blob(&out, &entry["digest"]));
    assert_eq!(manifest["annotations"], json!({"a": "1", "b": "x=y", "c": "3"}));
    // The other output wants more.
    let stored = place.bryo("inspect --manifest app:1").succeeds().json();
    assert_eq!(stored["annotations"], json!({"a": "1", "b": "x=y", "c": "3", "d": "4"}));
    let index = place
        .bryo("build -q -t index --platform linux/amd64,linux/arm64 --annotation index:i=1")
        .args(["--annotation", "index-descriptor,manifest-descriptor:d=2"])
        .args([
            "--annotation",
            "manifest[linux/arm64]:arm=yes",
            "-o",
            "type=oci,tar=false,dest=both",
            "-",
        ])
        .input("FROM scratch\nCOPY <<f /f\nx\nf\n")
        .succeeds();
    let both = place.path("work/both");
    let entry = read(&both.join("index.json"))["manifests"][0].clone();
    assert_eq!((&entry["digest"], &entry["annotations"]["d"]), (&json!(index.text()), &json!("2")));
    let root = read(&blob(&both, &entry["digest"]));
    assert_eq!(root["annotations"], json!({"i": "1"}));
    let said: Vec<Value> = root["manifests"]
        .as_array()
        .expect("manifests")
        .iter()
        .map(|entry| {
            let manifest = read(&blob(&both, &entry["digest"]));
            json!([
                entry["platform"]["architecture"],
                entry["annotations"],
                manifest["annotations"]
            ])
        })
        .collect();
    assert_eq!(
        said,
        [json!(["amd64", {"d": "2"}, null]), json!(["arm64", {"d": "2"}, {"arm": "yes"}])]
    );
    for (annotation, needle) in [
        ("index:a=b", "index annotations not supported for single platform export"),
        ("layer:a=b", "\"layer\" is none of manifest"),
        ("a", "NAME=VALUE"),
        ("manifest[linux/s390x]:a=b", "no platform linux/s390x found in source"),
    ] {
        place.bryo("build -q --annotation").arg(annotation).arg(&context).fails(2).mentions(needle);
    }
}
