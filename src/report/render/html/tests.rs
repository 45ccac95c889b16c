//! What cannot be said on a page, whoever tries.

use super::*;

#[test]
fn figures_are_written_for_people() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    let times = [None, Some(0.25), Some(42.4), Some(1_560.0), Some(61_000.0)];
    assert_eq!(times.map(duration), ["\u{2013}", "0.2 ms", "42 ms", "1.56 s", "61 s"]);
    assert_eq!([12, 101_900, 1_400_000].map(size), ["12 B", "101.9 kB", "1.4 MB"]);
}

#[test]
fn every_verdict_has_a_shape_and_its_word() {
    for state in [State::Blocked, State::Unsafe, State::Stale, State::Safe, State::None, State::Collecting] {
        let text = verdict(state).into_string();
        assert!(text.contains(state.as_str()) && text.contains("class=\"shape\""), "{text}");
    }
}

#[test]
fn a_file_loads_nothing_and_runs_nothing() {
    let report = Report { schema: 1, generated_at: "2026-11-15T09:00:00Z".into(), routes: Vec::new() };
    let page = html(&report, &BTreeMap::new());
    assert!(
        page.contains(
            "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-"
        )
    );
    for loading in ["<script", "<link", "<iframe", "src=\"http", "url(", "@import"] {
        assert!(!page.contains(loading), "{loading}");
    }
    // No attribute carries a style: the policy would refuse it.
    assert!(!page.contains(" style="));
}
