//! Unmodified programs that care for who they are and whose the files are. Each script in
//! `tests/data/emulation/scenarios` runs as real root and in bryo, and prints the same.
//!
//! A script's second line may say `# user: NAME`: that user of the image runs it from the start.
//! `BRYO_TEST_SCENARIO` chooses those scripts whose names contain it.

use std::fs;

use super::side_by_side::{Case, compare, share};
use super::{data, prepared};
use crate::support::Place;

#[test]
fn programs_find_the_world_that_real_root_gives() {
    let Some(base) = prepared("BRYO_TEST_TOOLS") else { return };
    let place = Place::new();
    share(&place);
    compare(&place, &base, &scripts());
}

fn scripts() -> Vec<Case> {
    let wanted = std::env::var("BRYO_TEST_SCENARIO").unwrap_or_default();
    let mut found = Vec::new();
    for entry in fs::read_dir(data().join("scenarios")).expect("scripts") {
        let path = entry.expect("a script").path();
        let text = fs::read_to_string(&path).expect("a script");
        let user = text.lines().nth(1).and_then(|line| line.strip_prefix("# user: "));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.contains(&wanted) {
            let command = ["sh".into(), "-eu".into(), format!("/shared/scenarios/{name}")].into();
            found.push(Case { name, user: user.unwrap_or_default().to_owned(), command });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!found.is_empty(), "no script of a name with {wanted:?}");
    found
}
