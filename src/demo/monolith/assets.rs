//! The files under `/static`, in the binary.

/// One file.
#[derive(Clone, Copy, Debug)]
pub(in crate::demo) struct Asset {
    pub(in crate::demo) content: &'static str,
    pub(in crate::demo) media_type: &'static str,
}

/// The file under `/static/<name>`.
pub(in crate::demo) fn named(name: &str) -> Option<Asset> {
    let (content, media_type) = match name {
        "style.css" => (include_str!("assets/style.css"), "text/css"),
        "shop.js" => (include_str!("assets/shop.js"), "text/javascript"),
        "logo.svg" => (include_str!("assets/logo.svg"), "image/svg+xml"),
        _ => return None,
    };
    Some(Asset { content, media_type })
}
