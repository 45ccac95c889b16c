//! What a provider can draw, and how a wish is measured against it before anything is paid.

use crate::generator::order::{AskedSize, Format, Order, Size, Wish};

/// Sizes that clients have always asked for: drawn larger and scaled where a provider has only larger ones.
const OLD_SIZES: [Size; 3] = [square(256), square(512), square(1024)];

/// What a provider can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Images of one job.
    pub(crate) max_count: u32,
    /// Sizes that it draws, the one for `auto` first.
    pub(crate) sizes: Vec<Size>,
    /// Its qualities; none: whatever it is told.
    pub(crate) qualities: Option<&'static [&'static str]>,
    /// Whether a background may be transparent.
    pub(crate) transparency: Transparency,
    /// Whether WebP may lose something to be smaller.
    pub(crate) webp: WebP,
}

/// Whether a background may be transparent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transparency {
    /// It may.
    Offered,
    /// It may not.
    Absent,
}

/// How well a provider encodes WebP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebP {
    /// Only without loss.
    Lossless,
    /// As small as is asked for.
    Lossy,
}

/// Well-formed, but nothing that this provider does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unable {
    /// The parameter that asks for it.
    pub(crate) param: &'static str,
    /// What can be had instead.
    pub(crate) message: String,
}

const fn square(side: u32) -> Size {
    Size { width: side, height: side }
}

impl Abilities {
    /// Turns a wish into an order, if it can be done.
    pub(crate) fn agree(&self, wish: Wish) -> Result<Order, Unable> {
        let Wish { prompt, count, size: asked, format, compression, options } = wish;
        let unable = |param, message: String| Err(Unable { param, message });
        let Some(count) = u32::try_from(count).ok().filter(|count| *count <= self.max_count) else {
            return unable("n", format!("n must be at most {}", self.max_count));
        };
        let offered = match asked {
            AskedSize::Auto => self.sizes.first().map(|first| (*first, *first)),
            AskedSize::Exact(size) => self.drawn_for(size).map(|drawn| (size, drawn)),
        };
        let Some((size, drawn)) = offered else {
            return unable("size", self.sizes_in_words());
        };
        if let (Some(asked), Some(known)) = (&options.quality, self.qualities)
            && !known.contains(&asked.as_str())
        {
            return unable("quality", format!("quality must be one of {}", known.join(", ")));
        }
        let transparent = options.is_transparent();
        if transparent && self.transparency == Transparency::Absent {
            return unable("background", "background must be opaque or auto".to_owned());
        }
        let lossless = match format {
            Format::Png => true,
            Format::WebP => self.webp == WebP::Lossless || size != drawn,
            Format::Jpeg => false,
        };
        if compression < 100 && lossless {
            let message =
                format!("output_compression below 100 is not for {}, which is lossless here", format.name());
            return unable("output_compression", message);
        }
        Ok(Order { prompt, count, asked, size, drawn, format, compression, options })
    }

    /// The size that is drawn for one that is asked for: itself, or the smallest of the same shape that is larger.
    fn drawn_for(&self, asked: Size) -> Option<Size> {
        if self.sizes.contains(&asked) {
            return Some(asked);
        }
        let same_shape = |size: &&Size| {
            u64::from(size.width) * u64::from(asked.height) == u64::from(size.height) * u64::from(asked.width)
        };
        let larger = self.sizes.iter().filter(same_shape).filter(|size| size.width > asked.width);
        larger.min_by_key(|size| size.pixels()).copied().filter(|_| OLD_SIZES.contains(&asked))
    }

    /// The sizes that can be asked for, for people.
    fn sizes_in_words(&self) -> String {
        let scaled =
            OLD_SIZES.iter().filter(|size| !self.sizes.contains(size) && self.drawn_for(**size).is_some());
        let sizes: Vec<String> = self.sizes.iter().chain(scaled).map(Size::to_string).collect();
        format!("size must be one of {} or auto", sizes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::order::{Options, Prompt};

    fn large() -> Abilities {
        Abilities {
            max_count: 4,
            sizes: vec![square(1024), Size { width: 1536, height: 1024 }, square(2048)],
            qualities: None,
            transparency: Transparency::Offered,
            webp: WebP::Lossy,
        }
    }

    fn wish(size: &str) -> Wish {
        Wish {
            prompt: Prompt::new("sea".into()).unwrap(),
            count: 1,
            size: AskedSize::parse(size).unwrap(),
            format: Format::Png,
            compression: 100,
            options: Options::default(),
        }
    }

    #[test]
    fn what_is_too_small_for_the_provider_is_drawn_larger() {
        for (asked, size, drawn) in [
            ("auto", square(1024), square(1024)),
            ("1024x1024", square(1024), square(1024)),
            ("256x256", square(256), square(1024)),
            ("512x512", square(512), square(1024)),
            ("1536x1024", Size { width: 1536, height: 1024 }, Size { width: 1536, height: 1024 }),
        ] {
            let order = large().agree(wish(asked)).unwrap();
            assert_eq!((order.size, order.drawn), (size, drawn), "{asked}");
        }
        for asked in ["4096x4096", "768x512", "100x100", "1024x1536"] {
            assert_eq!(
                large().agree(wish(asked)).unwrap_err(),
                Unable {
                    param: "size",
                    message: "size must be one of 1024x1024, 1536x1024, 2048x2048, 256x256, 512x512 or auto"
                        .into()
                }
            );
        }
    }

    #[test]
    fn options_are_held_to_what_the_provider_knows() {
        let with = |quality: &str, background: &str| Wish {
            options: Options {
                quality: Some(quality.into()),
                background: Some(background.into()),
                ..Options::default()
            },
            ..wish("auto")
        };
        assert!(large().agree(with("ultra", "transparent")).is_ok());
        let mut plain = large();
        plain.qualities = Some(&["low", "high"]);
        plain.transparency = Transparency::Absent;
        assert!(plain.agree(with("low", "opaque")).is_ok());
        assert_eq!(plain.agree(with("ultra", "opaque")).unwrap_err().param, "quality");
        assert_eq!(plain.agree(with("low", "transparent")).unwrap_err().param, "background");
        assert_eq!(large().agree(Wish { count: 5, ..wish("auto") }).unwrap_err().param, "n");
        let small_webp = Wish { format: Format::WebP, compression: 50, ..wish("auto") };
        assert!(large().agree(small_webp.clone()).is_ok());
        plain.webp = WebP::Lossless;
        assert_eq!(plain.agree(small_webp).unwrap_err().param, "output_compression");
    }
}
