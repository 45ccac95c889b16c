//! The files under `/static`, in the binary.

/// The style sheet.
pub(crate) const STYLE: &str = include_str!("assets/style.css");

/// One file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asset {
    pub(super) content: &'static str,
    pub(super) media_type: &'static str,
}

/// The file under `/static/<name>`.
pub(super) fn named(name: &str) -> Option<Asset> {
    let (content, media_type) = match name {
        "style.css" => (STYLE, "text/css"),
        "shop.js" => (include_str!("assets/shop.js"), "text/javascript"),
        "logo.svg" => (include_str!("assets/logo.svg"), "image/svg+xml"),
        _ => return None,
    };
    Some(Asset { content, media_type })
}
