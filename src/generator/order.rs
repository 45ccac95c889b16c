//! What a client asked for, in the generator's own words, whatever contract it came through.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// The longest prompt that any provider takes, in characters.
pub(crate) const MAX_PROMPT_CHARS: usize = 32_000;

/// A prompt that says something: its text, and what may be said of it in logs.
#[derive(Clone)]
pub(crate) struct Prompt {
    text: String,
    sha256: Digest,
    chars: usize,
}

/// Why a text is no prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPrompt {
    /// Nothing but white space.
    Empty,
    /// More than [`MAX_PROMPT_CHARS`].
    TooLong {
        /// How many characters it has.
        chars: usize,
    },
}

impl Prompt {
    /// Parses a text.
    pub(crate) fn new(text: String) -> Result<Self, NoPrompt> {
        let chars = text.chars().count();
        if text.trim().is_empty() {
            Err(NoPrompt::Empty)
        } else if chars > MAX_PROMPT_CHARS {
            Err(NoPrompt::TooLong { chars })
        } else {
            Ok(Self { sha256: Digest::of(text.as_bytes()), text, chars })
        }
    }

    /// The text itself: for the provider, never for a log.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Its hash.
    pub(crate) fn sha256(&self) -> &Digest {
        &self.sha256
    }

    /// Its length in characters.
    pub(crate) fn chars(&self) -> usize {
        self.chars
    }
}

/// Never shows the text, so that no log line can.
impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt")
            .field("sha256", &self.sha256)
            .field("chars", &self.chars)
            .finish_non_exhaustive()
    }
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Size {
    /// Pixels across.
    pub(crate) width: u32,
    /// Pixels down.
    pub(crate) height: u32,
}

impl Size {
    /// How many pixels.
    pub(crate) fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A size as clients write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskedSize {
    /// `auto`: the provider chooses.
    Auto,
    /// `WxH`.
    Exact(Size),
}

impl AskedSize {
    /// Parses `auto` or `WxH` with positive decimal numbers; a number beyond any image becomes the largest one, so
    /// that it is well-formed and in no table.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "auto" {
            return Some(Self::Auto);
        }
        let (width, height) = text.split_once('x')?;
        Some(Self::Exact(Size { width: edge(width)?, height: edge(height)? }))
    }
}

impl fmt::Display for AskedSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Exact(size) => size.fmt(f),
        }
    }
}

fn edge(digits: &str) -> Option<u32> {
    let decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (decimal && !digits.starts_with('0')).then(|| digits.parse().unwrap_or(u32::MAX))
}

/// How an image is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    WebP,
}

impl Format {
    /// As the Images API writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::WebP => "webp",
        }
    }

    /// What stored names end with.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
        }
    }

    /// Reads [`media_type`](Self::media_type).
    pub(crate) fn of_media_type(media_type: &str) -> Option<Self> {
        [Self::Png, Self::Jpeg, Self::WebP].into_iter().find(|format| format.media_type() == media_type)
    }

    /// `Content-Type`.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }
}

/// A well-formed wish, not yet measured against what a provider can do.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// What to draw.
    pub(crate) prompt: Prompt,
    /// How many images.
    pub(crate) count: u64,
    /// How large.
    pub(crate) size: AskedSize,
    /// How encoded.
    pub(crate) format: Format,
    /// Quality of the encoding in percent.
    pub(crate) compression: u8,
    /// What else the provider is told.
    pub(crate) options: Options,
}

/// What only some providers understand, in their own words; what is absent is left to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Options {
    /// How much work to put into it.
    pub(crate) quality: Option<String>,
    /// `opaque`, `transparent` or `auto`.
    pub(crate) background: Option<String>,
    /// How strictly to judge what is asked for.
    pub(crate) moderation: Option<String>,
    /// A way of drawing.
    pub(crate) style: Option<String>,
    /// Who asks, as an opaque word.
    pub(crate) user: Option<String>,
}

impl Options {
    /// Whether the background is to be seen through.
    pub(crate) fn is_transparent(&self) -> bool {
        self.background.as_deref() == Some("transparent")
    }
}

/// What a provider has agreed to draw.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// What to draw.
    pub(crate) prompt: Prompt,
    /// How many images; at least one.
    pub(crate) count: u32,
    /// How large, in the client's words.
    pub(crate) asked: AskedSize,
    /// How large.
    pub(crate) size: Size,
    /// How large it is drawn, to be scaled: the same, or larger in the same shape.
    pub(crate) drawn: Size,
    /// How encoded.
    pub(crate) format: Format,
    /// Quality of the encoding in percent.
    pub(crate) compression: u8,
    /// What else the provider is told.
    pub(crate) options: Options,
}

/// An order as it is written down for whoever begins it later: what was asked, not what is made of it.
#[derive(Serialize, Deserialize)]
struct Written {
    prompt: String,
    count: u32,
    size: String,
    media_type: String,
    compression: u8,
    options: Options,
}

impl Wish {
    /// Reads an order that was [written](Order::written) down.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let Written { prompt, count, size, media_type, compression, options } =
            serde_json::from_str(text).ok()?;
        Some(Self {
            prompt: Prompt::new(prompt).ok()?,
            count: count.into(),
            size: AskedSize::parse(&size)?,
            format: Format::of_media_type(&media_type)?,
            compression,
            options,
        })
    }
}

impl Order {
    /// Writes it down, prompt included.
    pub(crate) fn written(&self) -> String {
        let Self { prompt, count, asked: _, size, drawn: _, format, compression, options } = self;
        let written = Written {
            prompt: prompt.text().to_owned(),
            count: *count,
            size: size.to_string(),
            media_type: format.media_type().to_owned(),
            compression: *compression,
            options: options.clone(),
        };
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// A hash over everything that was asked, so that two requests for one key can be told apart. Not over what is
    /// made of it here: another provider's sizes do not make it another request.
    pub(crate) fn sha256(&self) -> Digest {
        let Self { prompt, count, asked, size: _, drawn: _, format, compression, options } = self;
        let asked =
            format!("{}/{count}/{asked}/{}/{compression}/{options:?}", prompt.sha256(), format.name());
        Digest::of(asked.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{AskedSize, Format, MAX_PROMPT_CHARS, NoPrompt, Options, Prompt, Size, Wish};
    use crate::generator::provider::abilities::{Abilities, Transparency, WebP};

    #[test]
    fn sizes_are_auto_or_two_positive_numbers() {
        assert_eq!(AskedSize::parse("auto"), Some(AskedSize::Auto));
        let huge = AskedSize::Exact(Size { width: u32::MAX, height: 1 });
        assert_eq!(AskedSize::parse("99999999999999x1"), Some(huge));
        for wrong in
            ["", "x", "1024", "0x0", "-1x5", "+1x5", "1024X1024", "1x2x3", "01x1", " 1x1", "Auto", "1.5x2"]
        {
            assert_eq!(AskedSize::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_auto_becomes_here_does_not_make_it_another_request() {
        let wish = |size: &str| Wish {
            prompt: Prompt::new("mar".into()).unwrap(),
            count: 1,
            size: AskedSize::parse(size).unwrap(),
            format: Format::Png,
            compression: 100,
            options: Options::default(),
        };
        let hash = |first: u32, second: u32, size: &str| {
            let sizes = [first, second].map(|side| Size { width: side, height: side }).to_vec();
            let abilities = Abilities {
                max_count: 1,
                sizes,
                qualities: None,
                transparency: Transparency::Absent,
                webp: WebP::Lossy,
            };
            abilities.agree(wish(size)).unwrap().sha256()
        };
        assert_eq!(hash(1024, 2048, "auto"), hash(2048, 1024, "auto"));
        assert_eq!(hash(1024, 2048, "1024x1024"), hash(2048, 1024, "1024x1024"));
        assert_ne!(hash(1024, 2048, "auto"), hash(1024, 2048, "1024x1024"));
    }

    #[test]
    fn a_prompt_is_counted_in_characters_and_never_shown() {
        assert_eq!(Prompt::new(" \n".into()).unwrap_err(), NoPrompt::Empty);
        assert!(Prompt::new("ã".repeat(MAX_PROMPT_CHARS)).is_ok());
        let chars = MAX_PROMPT_CHARS + 1;
        assert_eq!(Prompt::new("ã".repeat(chars)).unwrap_err(), NoPrompt::TooLong { chars });
        let shown = format!("{:?}", Prompt::new("canary".into()).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(width in 1..u32::MAX, height in 1..u32::MAX) {
            let size = Size { width, height };
            prop_assert_eq!(AskedSize::parse(&size.to_string()), Some(AskedSize::Exact(size)));
        }

        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let positive = AskedSize::parse(&text).is_none_or(|size| match size {
                AskedSize::Auto => text == "auto",
                AskedSize::Exact(size) => size.pixels() > 0,
            });
            prop_assert!(positive);
        }
    }
}
