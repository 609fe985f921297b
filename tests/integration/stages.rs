//! Stages side by side: what meets, what is done once, what is not done, and how it ends.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Place, Registry, Said, busybox, has};

/// Waits until a file is there, but not for ever.
const AWAIT: &str = "await() { n=0; until [ -e $1 ]; do n=$((n+1)); [ $n -lt 1500 ] || exit 9; sleep 0.02; done; }; ";

fn cached(said: &Said) -> usize {
    said.errors().lines().filter(|line| line.ends_with(": cached")).count()
}

#[test]
fn independent_stages_meet() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let cache = "--mount=type=cache,id=meet,target=/m";
    let stage = |own: &str, other: &str| {
        format!(
            "FROM base AS {own}\nRUN {cache} {AWAIT}\\\n  touch /m/{own} && await /m/{other} && \
             for i in 1 2 3; do echo {own}$i; done && printf {own} > /{own}\n"
        )
    };
    let last = "FROM base\nCOPY --from=one /one /\nCOPY --from=two /two /\nCMD cat /one /two\n";
    let dockerfile = format!("{}{}{last}", stage("one", "two"), stage("two", "one"));
    let context = place.context("c", &dockerfile, &[]);
    let build = "--jobs 2 build --progress plain -t app";
    let said = place.bryo(build).arg(&context).succeeds();
    assert_eq!(place.bryo("run app").succeeds().text(), "onetwo");
    // Whoever says something is told from the others.
    for stage in ["one", "two"] {
        for number in 1..=3 {
            let line = format!("[{stage} 2/2] {stage}{number}");
            assert!(said.errors().lines().any(|found| found == line), "{line}: {said}");
        }
    }
    assert_eq!(place.bryo(build).arg(&context).succeeds().text(), said.text());
}

#[test]
fn one_job_is_one_step_at_a_time() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    // Who meets somebody fails.
    let stage = |name: &str| {
        format!(
            "FROM base AS {name}\nRUN --mount=type=cache,id=alone,target=/m \
             mkdir /m/busy && sleep 0.1 && rmdir /m/busy && touch /{name}\n"
        )
    };
    let mut dockerfile: String = ["a", "b", "c"].map(stage).concat();
    dockerfile += "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\nCOPY --from=c /c /\n";
    let context = place.context("c", &dockerfile, &[]);
    place.bryo("build --jobs 1").arg(&context).succeeds();
}

#[test]
fn the_first_failure_ends_the_others() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let cache = "--mount=type=cache,id=end,target=/m";
    let dockerfile = format!(
        "FROM base AS fails\nRUN {cache} {AWAIT} await /m/begun && exit 7\n\
         FROM base AS lasts\nRUN {cache} touch /m/begun && sleep 1000\n\
         FROM base AS waits\nCOPY --from=lasts / /x\n\
         FROM base\nCOPY --from=fails / /a\nCOPY --from=lasts / /b\nCOPY --from=waits / /c\n"
    );
    let context = place.context("c", &dockerfile, &[]);
    let begun = Instant::now();
    let said = place
        .bryo("build --jobs 4 --progress plain")
        .arg(&context)
        .fails(1)
        .mentions("exit code: 7")
        .mentions("cancelled after");
    assert!(begun.elapsed() < Duration::from_secs(60), "it was waited for");
    let errors = said.errors().lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{said}");
    assert!(!said.errors().contains("[waits 2/2]"), "{said}");
}

/// Says how often a step was executed.
const COUNTS: &str = "FROM base AS a\nRUN --mount=type=cache,id=count,target=/m echo x >> /m/log\n\
    FROM base AS b\nRUN --mount=type=cache,id=count,target=/m echo x >> /m/log\n\
    FROM base AS c\nRUN --mount=type=cache,id=count,target=/m wc -l < /m/log > /count\n";

#[test]
fn equal_steps_are_executed_once() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let both = "FROM base\nRUN --mount=from=a,target=/a --mount=from=b,target=/b true\n";
    let context = place.context("c", &format!("{COUNTS}{both}"), &[]);
    let count = place.context("d", COUNTS, &[]);
    let counted = || {
        let said = place.bryo("build --no-cache-filter c -o out").arg(&count).succeeds();
        assert!(!said.errors().contains("there is no stage"), "{said}");
        let text = fs::read_to_string(place.path("work/out/count")).expect("it was written");
        text.trim().parse::<u32>().expect("a number")
    };
    let build = |line: &str| place.bryo(line).arg(&context).succeeds();
    build("build");
    assert_eq!(counted(), 1);
    build("build --no-cache");
    assert_eq!(counted(), 2);
    build("build");
    assert_eq!(counted(), 2);
    // Only the stages that were named, by whatever case.
    for (filter, expected) in [("A", 3), ("a,b", 4), ("other", 4)] {
        let said = build(&format!("build --no-cache-filter {filter}"));
        assert_eq!(said.errors().contains("there is no stage \"other\""), filter == "other");
        assert_eq!(counted(), expected, "{filter}");
    }
}

#[test]
fn side_by_side_or_not_makes_the_same_image() {
    let mut stages = String::new();
    let mut last = "FROM scratch\nLABEL a=1\n".to_owned();
    for number in 0..6 {
        stages += &format!(
            "FROM base AS s{number}\nENV N={number}\nWORKDIR /d/{number}\nCOPY f g{number}\nLABEL n=$N\n"
        );
        last += &format!("COPY --from=s{number} /d /d{number}\nENV E{number}=1\n");
    }
    let mut found = Vec::new();
    for jobs in ["1", "8", "8"] {
        let place = Place::new();
        if !busybox(&place) {
            return;
        }
        let context = place.context("c", &format!("{stages}{last}"), &[("f", "f")]);
        place.run("touch").args(["-d", "2001-01-01T00:00:00Z"]).arg(context.join("f")).succeeds();
        let said = place
            .bryo("build -t app --jobs")
            .arg(jobs)
            .arg(&context)
            .env("SOURCE_DATE_EPOCH", "1000000000")
            .succeeds();
        found.push(said.text());
    }
    assert!(found.iter().all(|digest| *digest == found[0]), "{found:?}");
}

#[test]
fn what_is_cached_needs_no_files() {
    let place = Place::new();
    if !busybox(&place) || !has("docker-registry", "docker-registry") {
        return;
    }
    let registry = Registry::start(&place);
    let (tools, small) = (registry.name("tools:1"), registry.name("small:1"));
    let own = place.context("own", "FROM base\nRUN echo t > /t\n", &[]);
    place.bryo("build --push -t").arg(&tools).arg(&own).succeeds();
    let own = place.context("own", "FROM base\nRUN echo s > /s\n", &[]);
    place.bryo("build --push -t").arg(&small).arg(&own).succeeds();
    place.bryo("rm --purge").args([&tools, &small]).succeeds();

    let dockerfile = |last: &str| {
        format!(
            "FROM {tools} AS build\nRUN cat /t > /u\nFROM {small}\nCOPY --from=build /u /\n\
             COPY --from={tools} /t /tt\nRUN cat /u /tt /s > {last}\n"
        )
    };
    let trees = || fs::read_dir(place.storage().join("trees")).expect("a store").count();
    let forget = || {
        let trees = place.storage().join("trees");
        place
            .run("sh")
            .args(["-c", "chmod -R u+rwx \"$0\"/* && rm -rf \"$0\"/*"])
            .arg(trees)
            .succeeds();
    };
    let context = place.context("c", &dockerfile("/all"), &[]);
    let build = || place.bryo("build --progress plain -t app").arg(&context).succeeds();
    let first = build();
    assert_eq!(place.bryo("run app cat /all").succeeds().text(), "t\nt\ns");

    // Nothing is unpacked for what is cached.
    forget();
    let second = build();
    assert_eq!((second.text(), trees()), (first.text(), 0), "{second}");
    assert!(cached(&second) >= 5, "{second}");

    // What is needed is unpacked from the blobs, stages and copies too.
    place.context("c", &dockerfile("/other"), &[]);
    build();
    assert_eq!(place.bryo("run app cat /other").succeeds().text(), "t\nt\ns");
    forget();
    place.context(
        "c",
        &dockerfile("/all").replace("COPY --from=build /u /", "COPY --from=build /u /u"),
        &[],
    );
    build();
    assert_eq!(place.bryo("run app cat /all").succeeds().text(), "t\nt\ns");

    // Of a base that only cached steps stand on, no layer is asked for.
    place.context("c", &dockerfile("/all"), &[]);
    let layers = place.bryo("inspect").arg(&tools).succeeds().json()[0]["Layers"].clone();
    let top = layers.as_array().and_then(|layers| layers.last()).expect("layers")["digest"].clone();
    let top = top.as_str().expect("a digest").to_owned();
    place.bryo("rm --purge").arg(&tools).succeeds();
    fs::remove_file(registry.blob(&top)).expect("a blob of the registry");
    assert!(!place.storage().join("blobs/sha256").join(&top["sha256:".len()..]).exists());
    assert_eq!(build().text(), first.text());
    assert_eq!(place.bryo("run app cat /all").succeeds().text(), "t\nt\ns");
}

#[test]
fn what_the_target_does_not_need_is_not_asked_for() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM nowhere.invalid/never AS unused\nFROM nowhere.invalid/either AS other\n\
        COPY --from=nowhere.invalid/nor-this / /\nFROM base AS wanted\nRUN true\n\
        FROM other\nCOPY --from=unused / /\n";
    let context = place.context("c", dockerfile, &[]);
    place.bryo("build --target wanted").arg(&context).succeeds();
    // What is needed is asked for at once, and what fails first is told.
    place.bryo("build").arg(&context).fails(6).mentions("nowhere.invalid");
}

#[test]
fn many_stages_stand_on_each_other() {
    let place = Place::new();
    let chain = (1..700).map(|n| format!("FROM s{} AS s{n}\nENV X{}={n}\n", n - 1, n % 5));
    let dockerfile = format!("FROM scratch AS s0\nCOPY f /\n{}", chain.collect::<String>());
    let context = place.context("c", &dockerfile, &[("f", "")]);
    place.bryo("build -q -t app --jobs 8").arg(context).succeeds();
    let config = place.bryo("inspect app").succeeds().json();
    let env = config[0]["Config"]["Env"].as_array().expect("a list").clone();
    assert!(env.contains(&"X4=699".into()), "{env:?}");
}
