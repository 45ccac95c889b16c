//! The request as this API takes it.

use serde_json::{Map, Value};

use crate::generator::{
    events::Previews,
    order::{Format, Order},
};

/// The request's body. What is at its default is left out: servers of this API refuse parameters that they do not know.
pub(super) fn request(model: &str, order: &Order, previews: Option<&Previews>) -> Value {
    let options = &order.options;
    let mut body = Map::new();
    body.insert("model".to_owned(), model.into());
    body.insert("prompt".to_owned(), order.prompt.text().into());
    body.insert("n".to_owned(), order.count.into());
    body.insert("size".to_owned(), order.drawn.to_string().into());
    let words = [
        ("quality", &options.quality),
        ("background", &options.background),
        ("moderation", &options.moderation),
        ("style", &options.style),
        ("user", &options.user),
    ];
    for (name, word) in words {
        if let Some(word) = word {
            body.insert(name.to_owned(), word.as_str().into());
        }
    }
    if let Some(previews) = previews {
        body.insert("stream".to_owned(), true.into());
        body.insert("partial_images".to_owned(), previews.count.into());
    }
    // What is scaled here is encoded here: it is to arrive without loss.
    if order.format != Format::Png && order.size == order.drawn {
        body.insert("output_format".to_owned(), order.format.name().into());
        if order.compression < 100 {
            body.insert("output_compression".to_owned(), order.compression.into());
        }
    }
    body.into()
}
