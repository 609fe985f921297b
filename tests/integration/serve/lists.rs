//! Lists of tags, repositories and referrers.

use serde_json::{Value, json};

use super::{INDEX, MANIFEST, index, manifest, manifest_with};
use crate::support::Place;
use crate::support::served::{Served, sha256};

#[test]
fn tags_are_sorted_and_paged() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let one = manifest(&served, "a", "one");
    for tag in ["b", "a", "B", "10", "9", "_x"] {
        one.put(&served, "a", tag);
    }
    let list = |query: &str| {
        let reply = served.get(&format!("/v2/a/tags/list{query}")).is(200);
        let tags = reply.json()["tags"].clone();
        (tags, reply.find("link").map(str::to_owned))
    };
    assert_eq!(list(""), (json!(["10", "9", "B", "_x", "a", "b"]), None));
    assert_eq!(list("?last=B"), (json!(["_x", "a", "b"]), None));
    assert_eq!(list("?n=0"), (json!([]), None));
    assert_eq!(list("?n=6"), (json!(["10", "9", "B", "_x", "a", "b"]), None));
    let link = |query: &str| Some(format!("</v2/a/tags/list?{query}>; rel=\"next\""));
    assert_eq!(list("?n=4"), (json!(["10", "9", "B", "_x"]), link("last=_x&n=4")));
    assert_eq!(list("?last=_x&n=4"), (json!(["a", "b"]), None));
    assert_eq!(list("?n=2&last=0"), (json!(["10", "9"]), link("last=9&n=2")));
    assert_eq!(list("?last=zzz"), (json!([]), None));
    served.get("/v2/a/tags/list?n=x").refuses(400, "PAGINATION_NUMBER_INVALID");
    served.get("/v2/a/tags/list?n=-1").refuses(400, "PAGINATION_NUMBER_INVALID");
    assert_eq!(served.get("/v2/a/tags/list").json()["name"], "a");

    // A repository without tags is still one.
    for tag in ["b", "a", "B", "10", "9", "_x"] {
        served.delete(&format!("/v2/a/manifests/{tag}")).is(202);
    }
    assert_eq!(list(""), (json!([]), None));
    assert_eq!(served.get("/v2/_catalog").json()["repositories"], json!(["a"]));
    let path = format!("/v2/a/manifests/{}", one.digest);
    served.get(&path).is(200);
    // Without manifests it is none.
    served.delete(&path).is(202);
    served.get("/v2/a/tags/list").refuses(404, "NAME_UNKNOWN");
    assert_eq!(served.get("/v2/_catalog").json()["repositories"], json!([]));
}

#[test]
fn repositories_are_listed() {
    let place = Place::new();
    let served = Served::start(&place, "");
    assert_eq!(served.get("/v2/_catalog").is(200).json(), json!({"repositories": []}));
    for name in ["team/b", "a", "registry.example/c", "localhost/d", "127.0.0.1_5000/e"] {
        manifest(&served, name, "one").put(&served, name, "1");
    }
    let list = |query: &str| {
        let reply = served.get(&format!("/v2/_catalog{query}")).is(200);
        (reply.json()["repositories"].clone(), reply.find("link").map(str::to_owned))
    };
    let all = ["127.0.0.1_5000/e", "a", "localhost/d", "registry.example/c", "team/b"];
    assert_eq!(list(""), (json!(all), None));
    let link = "</v2/_catalog?last=localhost%2Fd&n=3>; rel=\"next\"".to_owned();
    assert_eq!(list("?n=3"), (json!(all[..3]), Some(link)));
    assert_eq!(list("?last=localhost%2Fd&n=3"), (json!(all[3..]), None));
    assert_eq!(list("?n=0"), (json!([]), None));
}

#[test]
fn referrers_are_listed_and_filtered() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let referrers = |name: &str, subject: &str, query: &str| {
        let reply = served.get(&format!("/v2/{name}/referrers/{subject}{query}")).is(200);
        assert_eq!(reply.header("content-type"), INDEX);
        let list = reply.json();
        assert_eq!((&list["schemaVersion"], &list["mediaType"]), (&json!(2), &json!(INDEX)));
        let applied = reply.find("oci-filters-applied").map(str::to_owned);
        (list["manifests"].as_array().expect("an array").clone(), applied)
    };
    // Never a 404.
    assert_eq!(referrers("none", &sha256(b"x"), ""), (vec![], None));
    served.get("/v2/none/referrers/x").refuses(400, "DIGEST_INVALID");

    // The subject may come later, or never.
    let image = manifest(&served, "a", "one");
    let subject = json!({"subject": image.descriptor()});
    let plain = manifest_with(&served, "a", "plain", &subject);
    let reply = served.push_manifest("a", &plain.digest, MANIFEST, &plain.text).is(201);
    assert_eq!(reply.header("oci-subject"), image.digest);
    let more = json!({"subject": image.descriptor(), "artifactType": "application/x.sig",
        "annotations": {"by": "ann"}});
    let signed = manifest_with(&served, "a", "signed", &more);
    let reply = served.push_manifest("a", "sig", MANIFEST, &signed.text).is(201);
    assert_eq!(reply.header("oci-subject"), image.digest);
    let listed = index(&[], &more);
    served.push_manifest("a", &listed.digest, INDEX, &listed.text).is(201);
    image.put(&served, "a", "1");

    let (all, applied) = referrers("a", &image.digest, "");
    assert_eq!((all.len(), applied), (3, None));
    let of = |digest: &str| -> Value {
        all.iter().find(|one| one["digest"] == digest).expect("listed").clone()
    };
    // Without a type of its own, a manifest has that of its configuration.
    let mut expected = plain.descriptor();
    expected["artifactType"] = json!("application/vnd.oci.empty.v1+json");
    assert_eq!(of(&plain.digest), expected);
    let mut expected = signed.descriptor();
    expected["artifactType"] = json!("application/x.sig");
    expected["annotations"] = json!({"by": "ann"});
    assert_eq!(of(&signed.digest), expected);
    assert_eq!(of(&listed.digest)["mediaType"], INDEX);

    let (found, applied) = referrers("a", &image.digest, "?artifactType=application%2Fx.sig");
    assert_eq!((found.len(), applied.as_deref()), (2, Some("artifactType")));
    let (found, applied) = referrers("a", &image.digest, "?artifactType=none");
    assert_eq!((found.len(), applied.as_deref()), (0, Some("artifactType")));
    // Each repository has its own.
    assert_eq!(referrers("b", &image.digest, "").0.len(), 0);
    served.delete(&format!("/v2/a/manifests/{}", plain.digest)).is(202);
    assert_eq!(referrers("a", &image.digest, "").0.len(), 2);
}

#[test]
fn long_lists_of_referrers_have_pages() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let image = manifest(&served, "a", "one");
    let mut pushed = Vec::new();
    for number in 0..3 {
        let text = number.to_string().repeat(1_800_000);
        let more = json!({"subject": image.descriptor(), "artifactType": "x", "annotations": {"text": text}});
        let one = manifest_with(&served, "a", "x", &more);
        one.put(&served, "a", &one.digest);
        pushed.push(one.digest);
    }
    let mut path = format!("/v2/a/referrers/{}?artifactType=x", image.digest);
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let reply = served.get(&path).is(200);
        assert!(reply.body.len() < 4 << 20);
        let list = reply.json();
        let digests = list["manifests"].as_array().expect("an array").iter();
        seen.extend(digests.map(|one| one["digest"].as_str().expect("a digest").to_owned()));
        pages += 1;
        let Some(link) = reply.find("link") else { break };
        let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        path = next.expect("a link").to_owned();
    }
    pushed.sort_unstable();
    assert_eq!((seen, pages), (pushed, 2));
}
