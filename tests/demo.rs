//! The demonstration as a user runs it: every mode, every answer looked at, the report at its end.

use assert_cmd::Command;

#[test]
fn the_demo_walks_every_mode_and_nothing_fails() {
    let run = Command::cargo_bin("figueira").unwrap().args(["demo", "--requests", "80", "--exit"]).assert();
    let output = run.get_output();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    for mode in ["monolith", "shadow", "canary", "migrated"] {
        assert!(told.lines().any(|line| line.trim_start().starts_with(mode)), "no line for {mode}:\n{told}");
    }
    assert!(told.contains("80 requests, none failed."), "{told}");
    assert!(told.contains("generate-image"), "no report:\n{told}");
    assert!(!told.contains("CALIBRATING"), "the report is not past calibration:\n{told}");
    assert!(!told.contains('\x1b'), "coloured, and not on a terminal:\n{told}");
}
