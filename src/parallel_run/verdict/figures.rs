//! Shares and counts as people read them.

/// `1 pair`, `2 pairs`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// `0.0123` as `1.23 %`: three digits that matter, and never more than is known.
pub(crate) fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    written(percent, digits(percent))
}

/// The same of a bound, which is never told as less than it is.
pub(crate) fn at_most(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let digits = digits(percent);
    let scale = 10f64.powi(digits.into());
    // Not for what the arithmetic of a round figure left over.
    written((percent * scale - 1e-6).max(0.0).ceil() / scale, digits)
}

/// How sure one is: `99.99 %`, and of nothing 100 %.
pub(crate) fn sure(confidence: f64) -> String {
    written(confidence * 100.0, 4)
}

fn digits(percent: f64) -> u8 {
    match percent.abs() {
        p if p >= 10.0 => 1,
        p if p >= 0.1 => 2,
        _ => 3,
    }
}

fn written(percent: f64, digits: u8) -> String {
    let digits = usize::from(digits);
    let text = format!("{percent:.digits$}");
    let trimmed = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{trimmed} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel_run::verdict::martingale::upper_bound;

    #[test]
    fn no_bound_is_told_as_less_than_it_is() {
        let bound = upper_bound(357, 0, 0.05);
        assert!(bound > 0.01, "not SAFE yet");
        assert_eq!((at_most(bound), percent(bound)), ("1.01 %".to_owned(), "1 %".to_owned()));
        for (fraction, text) in
            [(0.0, "0 %"), (0.01, "1 %"), (0.07, "7 %"), (0.123_45, "12.4 %"), (1.0, "100 %")]
        {
            assert_eq!(at_most(fraction), text);
        }
        for (confidence, text) in [(0.95, "95 %"), (0.9999, "99.99 %"), (0.999_999, "99.9999 %")] {
            assert_eq!(sure(confidence), text);
        }
    }
}
