//! What the provider says of its limits, as figures: `X-RateLimit-{Limit,Remaining,Reset}-*`.

use http::HeaderMap;

use crate::generator::metrics::{Metrics, RateOf};

/// What it counts; a list of ours, so that no answer can make metrics.
const COUNTED: [&str; 4] = ["requests", "tokens", "images", "input-images"];

/// Keeps what an answer says.
pub(super) fn note(metrics: &Metrics, headers: &HeaderMap) {
    let text = |name: String| headers.get(name).and_then(|value| value.to_str().ok());
    for of in COUNTED {
        let number =
            |what| text(format!("x-ratelimit-{what}-{of}")).and_then(|text| text.trim().parse::<f64>().ok());
        for (figure, family) in [
            (number("limit"), &metrics.rate_limit),
            (number("remaining"), &metrics.rate_remaining),
            (text(format!("x-ratelimit-reset-{of}")).and_then(seconds), &metrics.rate_reset),
        ] {
            if let Some(figure) = figure.filter(|figure| figure.is_finite()) {
                family.get_or_create(&RateOf { of }).set(figure);
            }
        }
    }
}

/// Reads `1s`, `6m0s`, `20ms`, `1h2m3.5s` or plain seconds.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(plain) = text.parse() {
        return Some(plain);
    }
    let (mut sum, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at_checked(number_ends)?;
        let unit_ends = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at_checked(unit_ends)?;
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (text, expected) in
            [("1s", 1.0), ("6m0s", 360.0), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("17", 17.0)]
        {
            assert!((seconds(text).unwrap() - expected).abs() < 1e-9, "{text}");
        }
        for nonsense in ["", "s", "1x", "1s2", "-", "ãs"] {
            assert_eq!(seconds(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn an_answer_becomes_figures() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let headers: HeaderMap = [
            ("x-ratelimit-limit-requests", "50"),
            ("x-ratelimit-remaining-requests", "49"),
            ("x-ratelimit-reset-requests", "1m12s"),
            ("x-ratelimit-remaining-nonsense", "1"),
            ("x-ratelimit-remaining-tokens", "many"),
        ]
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .into_iter()
        .collect();
        note(&metrics, &headers);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "figueira_generator_provider_rate_limit{of=\"requests\"} 50.0",
            "figueira_generator_provider_rate_remaining{of=\"requests\"} 49.0",
            "figueira_generator_provider_rate_reset_seconds{of=\"requests\"} 72.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("nonsense") && !text.contains("\"tokens\""));
    }
}
