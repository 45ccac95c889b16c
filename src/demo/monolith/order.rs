//! What a customer orders: the request of the `article` contract.

use serde::Deserialize;

/// Longest prompt, in characters.
const PROMPT: usize = 1000;
/// Most pictures of one order.
const PICTURES: u64 = 4;

/// A valid order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) prompt: String,
    /// Pictures wanted.
    pub(super) n: u64,
    /// Side in pixels.
    pub(super) size: u32,
}

#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    prompt: String,
    #[serde(default = "one")]
    n: u64,
    #[serde(default = "largest")]
    size: String,
}

fn one() -> u64 {
    1
}

fn largest() -> String {
    "1024x1024".to_owned()
}

impl Order {
    /// Reads a request's body; the error is what to tell the customer.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let Form { prompt, n, size } =
            serde_json::from_slice(body).map_err(|error| format!("this is no order: {error}"))?;
        let prompt = prompt.trim().to_owned();
        if prompt.is_empty() {
            return Err("prompt must not be empty".to_owned());
        }
        if prompt.chars().count() > PROMPT {
            return Err(format!("prompt must have at most {PROMPT} characters"));
        }
        if !(1..=PICTURES).contains(&n) {
            return Err(format!("n must be between 1 and {PICTURES}"));
        }
        let size = match size.as_str() {
            "256x256" => 256,
            "512x512" => 512,
            "1024x1024" => 1024,
            _ => return Err("size must be 256x256, 512x512 or 1024x1024".to_owned()),
        };
        Ok(Self { prompt, n, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_one_large_picture() {
        let order = Order::parse(br#"{"prompt": " a cat "}"#).unwrap();
        assert_eq!(order, Order { prompt: "a cat".to_owned(), n: 1, size: 1024 });
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (body, named) in [
            (r#"{"prompt": "  "}"#, "prompt"),
            (r#"{"n": 1}"#, "prompt"),
            (r#"{"prompt": "a cat", "n": 0}"#, "n must"),
            (r#"{"prompt": "a cat", "n": 5}"#, "n must"),
            (r#"{"prompt": "a cat", "size": "7x7"}"#, "size"),
            ("prompt=a+cat", "no order"),
        ] {
            let refusal = Order::parse(body.as_bytes()).unwrap_err();
            assert!(refusal.contains(named), "{body}: {refusal}");
        }
        let long = format!(r#"{{"prompt": "{}"}}"#, "é".repeat(PROMPT + 1));
        assert!(Order::parse(long.as_bytes()).unwrap_err().contains("1000"));
    }
}
