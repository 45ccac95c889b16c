//! The site's own contract: `{"prompt", "n", "size"}` in, `{"processamento": 200, "imagem": name}` out.

use serde_json::{Value, json};

use super::{Asked, Made, Refusal, Rejection, Reply, fields::Fields};
use crate::generator::order::{Format, Options, Wish};

pub(super) fn read(fields: &Fields) -> Result<Asked, Rejection> {
    let wish = Wish {
        prompt: fields.prompt()?,
        count: fields.count()?,
        size: fields.size()?,
        format: Format::Png,
        compression: 100,
        options: Options::default(),
    };
    Ok(Asked { wish, reply: Reply::Article })
}

pub(super) fn answer(made: &Made) -> Value {
    let names: Vec<&str> = made.images.iter().map(|image| image.object.name.as_str()).collect();
    let mut body = json!({ "processamento": 200, "imagem": names.first() });
    if names.len() > 1
        && let Some(members) = body.as_object_mut()
    {
        members.insert("imagens".into(), names.into());
    }
    body
}

pub(super) fn refusal(refusal: &Refusal) -> Value {
    json!({ "processamento": refusal.status.as_u16(), "msg": refusal.message })
}
