//! Registries that want to know who is there.

use std::process::Command;

use super::docker::{Docker, Door};
use super::faults::{Fault, Rule, before};
use super::http::{Answer, Server};
use super::tokens::{Garden, Manner, garden};
use super::*;
use crate::registry::{Kind, Place, forget, remember};

const ALICE: (&str, &str) = ("alice", "wonder:land");

fn alice(address: &str) -> Guest {
    Guest::user(address, ALICE.0, ALICE.1)
}

/// How many tokens were asked for.
fn tokens(garden: &Garden) -> usize {
    garden.tokens.asked().len()
}

#[test]
fn basic_needs_the_right_password() {
    let Some(docker) = Docker::start(&Door::Basic) else { return };
    let guest = Guest::user(&docker.address, "user", "wonder:land");
    guest.registry.check().expect("let in");
    guest.push("a", "x", &noise(1, 100_000)).expect("pushed");
    let anonymous = Guest::new(&docker.address);
    let error = anonymous.registry.manifest("a", "x").expect_err("who is there?");
    assert_eq!(error.kind(), Kind::Denied);
    let hint = error.hint().expect("what to do");
    assert!(hint.contains(&format!("bryo login {}", docker.address)), "{hint}");
    let wrong = Guest::user(&docker.address, "user", "wrong");
    let error = wrong.registry.check().expect_err("wrong password");
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.hint().is_some_and(|hint| hint.contains("refused")), "{:?}", error.hint());
    let error = wrong.upload("a", b"layer").expect_err("wrong password");
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(wrong.retries() + anonymous.retries(), 0);
}

#[test]
fn a_login_is_found_by_the_next_command_and_by_skopeo() {
    let Some(docker) = Docker::start(&Door::Basic) else { return };
    let file = docker.folder.path().join("auth.json");
    let credential = Credential::new("user", "wonder:land");
    remember(&file, &docker.address, &credential).expect("kept");
    let keyring = Keyring { files: vec![file.clone()], ..Keyring::default() };
    let guest = Guest::with(&docker.address, keyring.clone());
    guest.push("a", "x", b"layer").expect("pushed");
    let told = guest.recorder.events();
    let place = file.display().to_string();
    assert!(
        told.iter().any(|event| matches!(event, Event::Detail { text } if text.contains(&place)))
    );
    let skopeo = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", "--authfile"])
        .arg(&file)
        .arg(format!("docker://{}/a:x", docker.address))
        .output();
    if let Ok(output) = skopeo {
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let manifest = guest.registry.manifest("a", "x").expect("there");
        assert_eq!(output.stdout, manifest.bytes());
    }
    assert_eq!(forget(&keyring.files, &docker.address).expect("known"), [Place::File(file)]);
    let guest = Guest::with(&docker.address, keyring);
    assert_eq!(guest.registry.check().expect_err("logged out").kind(), Kind::Denied);
}

#[test]
fn tokens_are_asked_for_once() {
    let Some(garden) = garden(Manner::default()) else { return };
    let guest = alice(&garden.docker.address);
    guest.registry.check().expect("let in");
    let before = tokens(&garden);
    let layer = noise(2, 500_000);
    guest.push("team/app", "x", &layer).expect("pushed");
    assert_eq!(tokens(&garden) - before, 1, "one token to push");
    guest.registry.manifest("team/app", "x").expect("pulled");
    assert!(guest.download("team/app", &layer).expect("pulled") == layer);
    assert_eq!(tokens(&garden) - before, 2, "and one to pull");
    let mounted = guest.upload_from("team/other", &layer, Some("team/app")).expect("mounted");
    assert_eq!(mounted, Uploaded::Mounted);
}

#[test]
fn threads_share_a_token() {
    let Some(garden) = garden(Manner::default()) else { return };
    let guest = alice(&garden.docker.address);
    guest.push("a", "x", b"layer").expect("pushed");
    let before = tokens(&garden);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| guest.download("a", b"layer").expect("pulled"));
        }
    });
    assert_eq!(tokens(&garden) - before, 1);
}

#[test]
fn nobody_may_read_what_is_public() {
    let manner = Manner { field: "access_token", expires_in: None, ..Manner::default() };
    let Some(garden) = garden(manner) else { return };
    let layer = noise(3, 1000);
    let owner = alice(&garden.docker.address);
    owner.push("pub/app", "x", &layer).expect("pushed");
    owner.push("team/app", "x", &layer).expect("pushed");
    let anonymous = Guest::new(&garden.docker.address);
    anonymous.registry.manifest("pub/app", "x").expect("public");
    assert!(anonymous.download("pub/app", &layer).expect("public") == layer);
    for error in [
        anonymous.registry.manifest("team/app", "x").expect_err("private"),
        anonymous.upload("pub/app", b"mine").expect_err("read only"),
    ] {
        assert_eq!(error.kind(), Kind::Denied, "{error:?}");
    }
    // What may not be read cannot be mounted either; then it is sent.
    assert_eq!(
        anonymous.registry.head_manifest("team/app", "x").expect_err("private").kind(),
        Kind::Denied
    );
}

#[test]
fn a_wrong_password_is_told_by_the_token_server() {
    let Some(garden) = garden(Manner::default()) else { return };
    let guest = Guest::user(&garden.docker.address, "alice", "wrong");
    let error = guest.registry.check().expect_err("wrong password");
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("incorrect username or password"), "{error}");
}

#[test]
fn an_identity_token_is_exchanged() {
    let Some(garden) = garden(Manner::default()) else { return };
    let guest = Guest::user(&garden.docker.address, "<token>", "idtok-alice");
    guest.push("a", "x", b"layer").expect("pushed");
    let asked = garden.tokens.asked();
    assert!(asked.iter().all(|asked| asked.method == "POST" && asked.path == "/token"));
    let guest = Guest::user(&garden.docker.address, "<token>", "idtok-bob");
    assert_eq!(guest.registry.check().expect_err("not bob").kind(), Kind::Denied);
}

#[test]
fn a_server_may_know_no_identity_tokens_or_give_new_ones() {
    for status in [404, 405] {
        let manner = Manner { no_identity: Some(status), ..Manner::default() };
        let Some(garden) = garden(manner) else { return };
        alice(&garden.docker.address).push("pub/app", "x", b"layer").expect("pushed");
        // It has no way to tell who that is; what is for everybody is for him, too.
        let guest = Guest::user(&garden.docker.address, "<token>", "idtok-alice");
        guest.registry.manifest("pub/app", "x").expect("public");
        let error = guest.upload("pub/app", b"mine").expect_err("nobody");
        assert_eq!(error.kind(), Kind::Denied);
    }
    let manner = Manner { new_identity: Some("idtok-new"), ..Manner::default() };
    let Some(garden) = garden(manner) else { return };
    let guest = Guest::user(&garden.docker.address, "<token>", "idtok-alice");
    guest.push("a", "x", b"layer").expect("pushed");
    guest.registry.manifest("a", "x").expect("pulled");
    let used = |asked: &super::http::Asked| {
        let form = String::from_utf8_lossy(&asked.body).into_owned();
        form.rsplit("refresh_token=").next().map(str::to_owned)
    };
    let used: Vec<_> = garden.tokens.asked().iter().filter_map(used).collect();
    assert_eq!(used, ["idtok-alice", "idtok-new"]);
}

#[test]
fn a_token_is_for_what_is_done() {
    // The server of tokens needs a while.
    let manner = Manner { busy: &[0, 1], ..Manner::default() };
    let Some(garden) = garden(manner) else { return };
    let guest = alice(&garden.docker.address);
    let image = guest.push("team/app", "x", b"layer").expect("pushed");
    assert_eq!(guest.retries(), 2);
    assert_eq!(guest.registry.repositories().expect("listed"), ["team/app"]);
    guest.registry.put_manifest("team/app", "y", &image).expect("tagged");
    assert_eq!(
        guest.registry.referrers("team/app", &image.descriptor().digest, None).expect("none"),
        []
    );
    guest.registry.delete_tag("team/app", "y").expect("deleted");
    assert_eq!(guest.registry.tags("team/app").expect("listed"), ["x"]);
    guest.registry.delete_manifest("team/app", &image.descriptor().digest).expect("deleted");
    let scopes: String = garden.tokens.asked().into_iter().map(|asked| asked.path + "\n").collect();
    let scopes =
        scopes.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",").replace("%2A", "*");
    for scope in ["repository:team/app:pull,push", "registry:catalog:*", "repository:team/app:*"] {
        assert!(scopes.contains(&format!("scope={scope}")), "{scope}: {scopes}");
    }
    // Who may read may not do the rest.
    let anonymous = Guest::new(&garden.docker.address);
    for error in [
        anonymous.registry.repositories().expect_err("of all"),
        anonymous.registry.delete_tag("pub/app", "x").expect_err("to delete"),
    ] {
        assert_eq!(error.kind(), Kind::Denied, "{error:?}");
    }
}

#[test]
fn a_piece_survives_the_end_of_its_token() {
    let Some(garden) = garden(Manner::default()) else { return };
    let realm = format!("http://{}/token", garden.tokens.address);
    let challenge = format!(r#"Bearer realm="{realm}",service="moss",error="invalid_token""#);
    let challenge: &'static str = Box::leak(challenge.into_boxed_str());
    let over = Fault::Status(401, Box::leak(Box::new([("WWW-Authenticate", challenge)])));
    let rules = vec![
        Rule::new("PUT", "/uploads/", usize::MAX, Fault::NoBody(413)),
        Rule::new("PATCH", "", 1, Fault::With("X-Nothing", String::new())),
        Rule::new("PATCH", "", 1, over),
    ];
    let trouble = before(&garden.docker.address, rules);
    let guest = alice(&trouble.address);
    let layer = noise(11, 2_500_000);
    assert_eq!(guest.upload("a", &layer).expect("sent"), Uploaded::Sent);
    assert!(guest.download("a", &layer).expect("there") == layer);
    let sent: usize =
        trouble.asked().iter().filter(|a| a.method == "PATCH").map(|a| a.body.len()).sum();
    assert_eq!(sent, layer.len() + 1024 * 1024, "one piece was sent twice");
    assert_eq!(tokens(&garden), 3, "two to push, one to pull");
}

#[test]
fn a_token_that_ran_out_is_replaced() {
    // The server says that its tokens last for an hour; one is over already.
    let manner = Manner { expires_in: Some(3600), stale: &[1], ..Manner::default() };
    let Some(garden) = garden(manner) else { return };
    let guest = alice(&garden.docker.address);
    let layer = noise(4, 300_000);
    guest.push("a", "x", &layer).expect("pushed");
    assert_eq!(tokens(&garden), 1);
    assert!(guest.download("a", &layer).expect("pulled") == layer);
    assert_eq!(tokens(&garden), 3);
    assert_eq!(guest.retries(), 0);
}

#[test]
fn tokens_that_never_hold_are_not_asked_for_for_ever() {
    let manner = Manner { stale: &[0, 1, 2, 3, 4, 5, 6, 7], ..Manner::default() };
    let Some(garden) = garden(manner) else { return };
    let guest = alice(&garden.docker.address);
    let error = guest.push("a", "x", b"layer").expect_err("stale as soon as it is given");
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(tokens(&garden), 1);
}

#[test]
fn a_push_survives_the_end_of_its_token() {
    let Some(garden) = garden(Manner::default()) else { return };
    let realm = format!("http://{}/token", garden.tokens.address);
    let challenge = format!(r#"Bearer realm="{realm}",service="moss",error="invalid_token""#);
    let challenge: &'static str = Box::leak(challenge.into_boxed_str());
    let over = || Fault::Status(401, Box::leak(Box::new([("WWW-Authenticate", challenge)])));
    let rules =
        vec![Rule::new("PUT", "/uploads/", 2, over()), Rule::new("PUT", "/manifests/", 1, over())];
    let trouble = before(&garden.docker.address, rules);
    let guest = alice(&trouble.address);
    guest.push("a", "x", &noise(5, 2_000_000)).expect("pushed");
    assert_eq!(guest.retries(), 0, "a new token needs no pause");
    let begun = trouble.asked().iter().filter(|asked| asked.method == "POST").count();
    assert_eq!(begun, 4, "two blobs, and two uploads that were begun anew");
}

#[test]
fn several_challenges_are_understood() {
    let Some(docker) = Docker::start(&Door::Basic) else { return };
    let challenge = r#"Negotiate, BASIC charset="UTF-8", realm="a, Bearer b=\"c\"""#;
    let rules = vec![Rule::new("*", "", 3, Fault::With("WWW-Authenticate", challenge.into()))];
    let trouble = before(&docker.address, rules);
    let guest = Guest::user(&trouble.address, "user", "wonder:land");
    guest.push("a", "x", b"layer").expect("pushed");
}

#[test]
fn credentials_do_not_go_where_a_registry_would_like_them() {
    let thief = Server::start(|_| Ok(Answer::new(200, r#"{"token":"x"}"#)));
    for realm in ["https://10.0.0.1/token", "ftp://example.org/", "https://ann@example.org/"] {
        let challenge = format!(r#"Bearer realm="{realm}""#);
        let registry = Server::start(move |_| {
            Ok(Answer::new(401, "").header("WWW-Authenticate", challenge.clone()))
        });
        let error = alice(&registry.address).registry.check().expect_err(realm);
        assert!(matches!(error, Error::Realm { .. }), "{error:?}");
        assert!(error.to_string().contains("example.org") || realm.contains("10.0.0.1"));
    }
    // Even a realm that is fine may point elsewhere.
    let to = format!("http://{}/", thief.address);
    let realm = Server::start(move |_| Ok(Answer::new(307, "").header("Location", to.clone())));
    let challenge = format!(r#"Bearer realm="http://{}/token""#, realm.address);
    let registry = Server::start(move |asked| {
        Ok(match asked.header("authorization") {
            None => Answer::new(401, "").header("WWW-Authenticate", challenge.clone()),
            Some(_) => Answer::new(200, ""),
        })
    });
    alice(&registry.address).registry.check().expect("a token all the same");
    assert!(thief.asked().iter().all(|asked| asked.header("authorization").is_none()));
    assert_eq!(thief.asked().len(), 1);
    let error = Guest::user(&registry.address, "<token>", "secret").registry.check();
    error.expect_err("a form is not sent on to another host");
    assert_eq!(thief.asked().len(), 1);
}

#[test]
fn headers_of_the_file_go_to_the_registry_alone() {
    let elsewhere = Server::start(|_| Ok(Answer::new(200, "layer")));
    let to = format!("http://{}/cdn", elsewhere.address);
    let registry = Server::start(move |asked| {
        Ok(match asked.path.contains("/blobs/") {
            true => Answer::new(307, "").header("Location", to.clone()),
            false => Answer::new(200, r#"{"tags":["x"]}"#),
        })
    });
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("config.json");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    let guest = || {
        let keyring = Keyring { files: vec![file.clone()], ..Keyring::default() };
        Guest::with(&registry.address, keyring)
    };
    write(r#"{"HttpHeaders":{"X-Moss":"green","Host":"other","a b":"c","X-Fern":"a\nb"}}"#);
    let ours = guest();
    assert_eq!(ours.registry.tags("a").expect("listed"), ["x"]);
    assert_eq!(ours.download("a", b"layer").expect("from elsewhere"), b"layer");
    let of = |server: &Server, part: &str| {
        let asked = server.asked().into_iter().filter(|asked| asked.path.contains(part));
        asked.map(|a| a.header("x-moss").map(str::to_owned)).collect::<Vec<_>>()
    };
    let green = Some("green".to_owned());
    assert_eq!(
        (of(&registry, "/tags/"), of(&registry, "/blobs/")),
        (vec![green.clone()], vec![green])
    );
    assert_eq!(of(&elsewhere, ""), [None]);
    let host = registry.asked()[1].header("host").map(str::to_owned);
    assert_eq!(host.as_deref(), Some(&*registry.address));
    let told = format!("{:?}", ours.recorder.events());
    for name in ["Host", "a b", "X-Fern"] {
        assert!(told.contains(&format!("{name:?} is not sent").replace('"', "\\\"")), "{told}");
    }
    // A file that makes no sense keeps nobody from what is public.
    write("{");
    let ours = guest();
    ours.registry.tags("a").expect("listed");
    assert!(format!("{:?}", ours.recorder.events()).contains("no headers are taken"));
}

#[test]
fn an_account_may_be_of_a_part_of_a_registry() {
    let Some(docker) = Docker::start(&Door::Basic) else { return };
    let file = docker.folder.path().join("auth.json");
    let keyring = Keyring { files: vec![file.clone()], ..Keyring::default() };
    let address = &docker.address;
    remember(&file, address, &Credential::new("user", "wrong")).expect("kept");
    let team = format!("{address}/team");
    remember(&file, &team, &Credential::new("user", "wonder:land")).expect("kept");
    let guest = Guest::with(address, keyring.clone());
    guest.push("team/app", "x", b"layer").expect("pushed");
    let told = format!("{:?}", guest.recorder.events());
    let expected = format!(
        "{address}/team/app: credentials of user from {}, kept there for {team}",
        file.display()
    );
    assert!(told.contains(&expected), "{told}");
    let error = guest.push("teams/app", "x", b"layer").expect_err("another part");
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.hint().is_some_and(|hint| hint.ends_with(&format!("bryo login {address}"))));
    remember(&file, &team, &Credential::new("user", "wrong")).expect("kept");
    let error = Guest::with(address, keyring).push("team/b", "x", b"layer").expect_err("wrong");
    assert!(error.hint().is_some_and(|hint| hint.ends_with(&format!("bryo login {team}"))));
}
