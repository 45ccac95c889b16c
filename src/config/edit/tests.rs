//! What an edit changes, and all that it leaves alone.

use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::{prelude::*, sample::select};

use super::*;

const FILE: &str = r#"# Our rules. Ask Ana.
monolith.url   =   'http://127.0.0.1:8000'   # odd spaces

[[route]]
name = "images"        # the first
path = "/api/images"
mode = "shadow"        # monolith | shadow | canary | migrated
contract = "article"
subject = "cookie:session"

  [route.canary]
  percent = 0          # of subjects
  allow = [
    "ana",             # us
  ]

[[route]]
mode = 'monolith'
path = "/api/edits"
name = "edits"
contract = "openai"
[route.shadow]
sample = 0.5
# the end
"#;

fn to(mode: Mode) -> Edit {
    Edit { mode: Some(mode), share: None }
}

fn percent_of(share: f64) -> Edit {
    Edit { mode: None, share: Share::from_fraction(share) }
}

/// The lines that an edit takes out and puts in.
fn lines(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    let (mut out, mut put) = (Vec::new(), Vec::new());
    for change in similar::TextDiff::from_lines(before, after).iter_all_changes() {
        match change.tag() {
            similar::ChangeTag::Delete => out.push(change.value().to_owned()),
            similar::ChangeTag::Insert => put.push(change.value().to_owned()),
            similar::ChangeTag::Equal => {}
        }
    }
    (out, put)
}

#[test]
fn one_line_changes_and_keeps_its_comment() {
    let after = edited(FILE, "images", &to(Mode::Canary)).unwrap();
    let (out, put) = lines(FILE, &after);
    assert_eq!(out, ["mode = \"shadow\"        # monolith | shadow | canary | migrated\n"]);
    assert_eq!(put, ["mode = \"canary\"        # monolith | shadow | canary | migrated\n"]);

    let after = edited(FILE, "images", &percent_of(0.125)).unwrap();
    assert_eq!(lines(FILE, &after).1, ["  percent = 12.5          # of subjects\n"]);
    let both = Edit { share: Share::from_fraction(0.05), ..to(Mode::Canary) };
    let after = edited(FILE, "images", &both).unwrap();
    assert_eq!(lines(FILE, &after).1.len(), 2);
    assert!(after.contains("  percent = 5          # of subjects\n"));
}

#[test]
fn a_table_that_is_not_there_is_added_to_its_own_route() {
    let after = edited(FILE, "edits", &percent_of(0.05)).unwrap();
    let (out, put) = lines(FILE, &after);
    assert!(out.is_empty(), "{out:?}");
    assert_eq!(put.concat().trim(), "[route.canary]\npercent = 5");
    assert!(after.find("sample = 0.5").unwrap() < after.find("percent = 5").unwrap());
    // In the middle of a file too.
    let turned = FILE.replace("  [route.canary]\n  percent = 0          # of subjects\n  allow = [\n    \"ana\",             # us\n  ]\n", "");
    let after = edited(&turned, "images", &percent_of(0.05)).unwrap();
    assert!(after.find("percent = 5").unwrap() < after.find("mode = 'monolith'").unwrap(), "{after}");
}

#[test]
fn other_ways_to_write_a_route_are_edited_as_well() {
    let inline = "route = [{ name = \"a\", mode = \"shadow\", canary = { percent = 1 } }, { name = \"b\", mode = \"shadow\" }]\n";
    let both = Edit { share: Share::from_fraction(0.02), ..to(Mode::Canary) };
    let after = edited(inline, "a", &both).unwrap();
    assert_eq!(after, inline.replacen("shadow", "canary", 1).replace("percent = 1", "percent = 2"));
    assert!(edited(inline, "b", &both).is_ok_and(|after| after.parse::<DocumentMut>().is_ok()));
    let dotted = "[[route]]\nname = \"a\"\nmode = \"shadow\"\ncanary.percent = 1 # one\n";
    assert_eq!(edited(dotted, "a", &percent_of(0.02)).unwrap(), dotted.replace("= 1", "= 2"));

    assert!(matches!(edited(FILE, "image", &to(Mode::Shadow)), Err(EditError::Route(_))));
    assert!(matches!(edited("a = [", "images", &to(Mode::Shadow)), Err(EditError::Toml(_))));
}

#[test]
fn windows_line_ends_and_byte_order_marks_stay() {
    let text = format!("\u{feff}{}", FILE.replace('\n', "\r\n"));
    let after = edited(&text, "images", &to(Mode::Migrated)).unwrap();
    assert_eq!(after, text.replace("mode = \"shadow\"", "mode = \"migrated\""));
}

proptest! {
    #[test]
    fn walking_there_and_back_is_the_same_file(mode in select(&Mode::ALL[..]), share in 0..=1000_u32) {
        let there = Edit { mode: Some(mode), share: Share::from_fraction(f64::from(share) / 1000.0) };
        let back = Edit { mode: Some(Mode::Shadow), share: Some(Share::NONE) };
        let edit = edited(FILE, "images", &there).unwrap();
        prop_assert_eq!(edited(&edit, "images", &back).unwrap(), FILE);
    }
}

fn digest(text: &str) -> Digest {
    Sha256::digest(text).into()
}

#[test]
fn a_replaced_file_keeps_its_links_and_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real/rules.toml"), folder.path().join("routes.toml"));
    fs::create_dir(folder.path().join("real")).unwrap();
    fs::write(&real, "old").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/rules.toml", &link).unwrap();

    replace(&link, &digest("old"), "new").unwrap();
    assert_eq!(fs::read_to_string(&real).unwrap(), "new");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);

    // Only root may give a file away, and then it has to be kept.
    if std::os::unix::fs::chown(&real, Some(12_345), Some(12_346)).is_ok() {
        replace(&link, &digest("new"), "newer").unwrap();
        let owner = fs::metadata(&real).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (12_345, 12_346));
    }
    assert_eq!(fs::read_dir(real.parent().unwrap()).unwrap().count(), 1, "nothing stays behind");
}

#[test]
fn what_a_killed_process_left_is_swept_and_what_another_is_writing_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let hour_ago = std::time::SystemTime::now() - Duration::from_hours(1);
    for name in [".figueira-new-left", ".figueira-new-busy", ".routes.toml.swp"] {
        fs::write(at(name), "half").unwrap();
        if name != ".figueira-new-busy" {
            File::options().write(true).open(at(name)).unwrap().set_modified(hour_ago).unwrap();
        }
    }
    fs::write(at("routes.toml"), "old").unwrap();
    replace(&at("routes.toml"), &digest("old"), "new").unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    assert!(!at(".figueira-new-left").exists() && at(".routes.toml.swp").exists());
}

#[test]
fn a_file_that_changed_meanwhile_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.toml");
    fs::write(&path, "theirs").unwrap();
    assert!(matches!(replace(&path, &digest("old"), "ours"), Err(ReplaceError::Changed(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    fs::remove_file(&path).unwrap();
    assert!(matches!(replace(&path, &digest("old"), "ours"), Err(ReplaceError::Io { .. })));
}
