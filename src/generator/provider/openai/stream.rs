//! An answer that comes in pieces: server-sent events (WHATWG HTML, 9.2), previews first, then the images.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::Value;

use super::{super::Usage, answer};

/// Cuts events out of the bytes that arrive.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: BytesMut,
    data: BytesMut,
    after_cr: AfterCr,
}

/// Whether the last byte was a carriage return, whose line feed means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AfterCr {
    #[default]
    No,
    Yes,
}

/// What one event says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An unfinished image, in Base64.
    Partial {
        /// Which, from 0.
        index: u32,
        /// The image.
        image: String,
    },
    /// An image, in Base64, and the tokens of the call.
    Completed {
        /// The image.
        image: String,
        /// Where it is counted.
        usage: Option<Usage>,
    },
    /// It went wrong; the event as it came.
    Failed(Bytes),
    /// Something that later versions say.
    Other,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    b64_json: Option<String>,
    // Whatever stands here takes no image away.
    #[serde(default)]
    partial_image_index: Value,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    error: Option<Value>,
}

impl Events {
    /// The data of every event that `piece` completes.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<Bytes> {
        let mut events = Vec::new();
        let mut rest = piece;
        while let Some((first, after)) = rest.split_first() {
            if self.after_cr == AfterCr::Yes && *first == b'\n' {
                (self.after_cr, rest) = (AfterCr::No, after);
                continue;
            }
            self.after_cr = AfterCr::No;
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.line.extend_from_slice(rest);
                break;
            };
            let (text, ending) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            self.line.extend_from_slice(text);
            if ending.first() == Some(&b'\r') {
                self.after_cr = AfterCr::Yes;
            }
            rest = ending.get(1..).unwrap_or_default();
            events.extend(self.end_of_line());
        }
        events
    }

    /// The data of an event that nothing ends: its bytes are over, and an image in it was paid for.
    pub(super) fn end(&mut self) -> Option<Bytes> {
        self.end_of_line().or_else(|| self.end_of_line())
    }

    fn end_of_line(&mut self) -> Option<Bytes> {
        let line = self.line.split();
        if line.is_empty() {
            let data = self.data.split().freeze();
            return (!data.is_empty()).then_some(data);
        }
        let value = line.strip_prefix(b"data:")?;
        if !self.data.is_empty() {
            self.data.extend_from_slice(b"\n");
        }
        self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        None
    }
}

impl Event {
    /// Reads an event's data.
    pub(super) fn read(data: &Bytes) -> Self {
        let Ok(said) = serde_json::from_slice::<Said>(data) else { return Self::Other };
        match (said.kind.as_str(), said.b64_json) {
            _ if said.error.is_some() || said.kind == "error" => Self::Failed(data.clone()),
            ("image_generation.partial_image", Some(image)) => {
                let index = said.partial_image_index.as_u64().and_then(|index| index.try_into().ok());
                Self::Partial { index: index.unwrap_or(0), image }
            }
            ("image_generation.completed", Some(image)) => {
                Self::Completed { image, usage: answer::usage(&said.usage) }
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn events_are_read_as_the_api_sends_them() {
        let text = concat!(
            ": a comment\n\n",
            "event: image_generation.partial_image\r\ndata: {\"type\": \"image_generation.partial_image\",\r\n",
            "data: \"b64_json\": \"aGk=\", \"partial_image_index\": 1}\r\n\r\n",
            "data:{\"type\":\"image_generation.completed\",\"b64_json\":\"aG8=\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}\n\n",
            "event: error\ndata: {\"error\": {\"code\": \"moderation_blocked\"}}\n\n",
            "data: [DONE]\n\ndata: cut",
        );
        let events: Vec<_> = Events::default().push(text.as_bytes()).iter().map(Event::read).collect();
        assert_eq!(
            events,
            [
                Event::Partial { index: 1, image: "aGk=".into() },
                Event::Completed {
                    image: "aG8=".into(),
                    usage: Some(Usage { input_tokens: 1, output_tokens: 2 })
                },
                Event::Failed(Bytes::from_static(b"{\"error\": {\"code\": \"moderation_blocked\"}}")),
                Event::Other,
            ]
        );
    }

    #[test]
    fn what_is_counted_oddly_takes_no_image_away() {
        for (usage, read) in [
            (
                "{\"input_tokens\":null,\"output_tokens\":12.0}",
                Some(Usage { input_tokens: 0, output_tokens: 12 }),
            ),
            ("{\"input_tokens\":-1,\"output_tokens\":\"many\"}", Some(Usage::default())),
            ("[]", None),
            ("null", None),
        ] {
            let data = format!(
                "{{\"type\":\"image_generation.completed\",\"b64_json\":\"aGk=\",\"partial_image_index\":null,\"usage\":{usage}}}"
            );
            let event = Event::read(&Bytes::from(data));
            assert_eq!(event, Event::Completed { image: "aGk=".into(), usage: read }, "{usage}");
        }
    }

    #[test]
    fn the_last_event_needs_no_end() {
        for (text, last) in
            [("data: a\n\ndata: b", Some("b")), ("data: b\r\n", Some("b")), ("data: b\n\n", None), ("", None)]
        {
            let mut events = Events::default();
            events.push(text.as_bytes());
            assert_eq!(events.end().as_deref(), last.map(str::as_bytes), "{text:?}");
            assert_eq!(events.end(), None);
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_pieces_are_cut(cuts in proptest::collection::vec(0..60_usize, 0..8), end in 0..3_usize) {
            let end = ["\n", "\r\n", "\r"][end];
            let text = format!("data: a{end}data: b{end}{end}: x{end}data: c{end}{end}").into_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut events = Events::default();
            let found: Vec<_> = cuts.windows(2).flat_map(|cut| events.push(&text[cut[0]..cut[1]])).collect();
            prop_assert_eq!(found, ["a\nb", "c"]);
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut events = Events::default();
            for data in events.push(&bytes).into_iter().chain(events.end()) {
                Event::read(&data);
            }
        }
    }
}
