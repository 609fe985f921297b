//! The configuration file and its variables.

use std::fs;

use serde_json::json;

use crate::support::{Place, busybox_root, has};

#[test]
fn settings_are_kept_shown_and_heeded() {
    let place = Place::new();
    let file = place.path("home/.config/bryo/config.toml");
    let get = |key: &str| place.bryo(&format!("config get {key}"));
    get("storage").exits(1).mentions("is not set");
    place.bryo("config get sorage").fails(2).mentions("authfile, cacert, color");
    place.bryo("config set sorage /x").fails(2).mentions("authfile, cacert, color");
    place.bryo("config set storage relative").fails(2).mentions("absolute");
    place.bryo("config set jobs 1 2").fails(2).mentions("one value");
    assert!(!file.exists());

    let storage = place.path("elsewhere");
    place.bryo("config set storage").arg(&storage).succeeds();
    place.bryo("config set insecure a:5000 b").succeeds();
    place.bryo("config set jobs 3").succeeds();
    assert_eq!(get("insecure").succeeds().text(), "a:5000\nb");
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, format!("# mine\n{text}")).expect("written");
    place.bryo("config unset jobs").succeeds();
    let shown = place.bryo("config show --json").succeeds().json();
    assert_eq!(shown, json!({"storage": storage, "insecure": ["a:5000", "b"]}));
    assert!(fs::read_to_string(&file).expect("a file").starts_with("# mine\n"));
    assert!(place.bryo("config show").succeeds().text().contains("root-emulation"));

    if has("busybox", "busybox-static") {
        busybox_root(&place);
        place.folder("elsewhere");
        place.bryo("import -q root base").succeeds();
        assert!(storage.join("refs").exists() && !place.storage().exists());
        let other = place.folder("other");
        place.bryo("images").env("BRYO_STORAGE", &other).succeeds();
        assert!(other.join("refs").exists(), "a variable beats the file");
    }
    let said = place.bryo("config set jobs 2").env("BRYO_JOBS", "4").succeeds();
    said.mentions("$BRYO_JOBS is set");
    assert_eq!(get("jobs").env("BRYO_JOBS", "4").succeeds().text(), "4");
    get("jobs").env("BRYO_JOBS", "many").fails(2).mentions("BRYO_JOBS");
    let own = place.file("own.toml", "color = \"never\"\n");
    assert_eq!(get("color").arg("--config-file").arg(&own).succeeds().text(), "never");
    place.bryo("images --config-file").arg(place.path("none.toml")).exits(2);

    // What is wrong is told, and mended.
    fs::write(&file, "nonsense = 1\njobs = 2\n").expect("written");
    place.bryo("images").fails(2).mentions("config.toml").mentions("no setting \"nonsense\"");
    place.bryo("config unset nonsense").succeeds();
    assert_eq!(get("jobs").succeeds().text(), "2");
}
