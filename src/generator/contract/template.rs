//! Answers written by the operator: minijinja templates whose values are escaped by what the answer is.

use std::sync::Arc;

use minijinja::{AutoEscape, Environment, Error, Output, UndefinedBehavior, Value, value::Serde};
use serde::Serialize;

/// How values are written into an answer, so that no value can become a part of its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// A text inside a JSON string; numbers as they are.
    Json,
    /// Percent-encoded.
    Form,
    /// For HTML and XML.
    Html,
    /// As it is.
    Plain,
}

impl Escape {
    /// What a content type asks for; nothing where that is not known.
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Some(Self::Json),
            "application/x-www-form-urlencoded" => Some(Self::Form),
            "text/html" | "text/xml" | "application/xml" => Some(Self::Html),
            "text/plain" | "text/csv" => Some(Self::Plain),
            other if other.ends_with("+json") => Some(Self::Json),
            other if other.ends_with("+xml") => Some(Self::Html),
            _ => None,
        }
    }
}

/// A template that has been read.
#[derive(Clone, Debug)]
pub struct Template {
    text: Arc<str>,
    escape: Escape,
    environment: Arc<Environment<'static>>,
}

/// What a template is filled with.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Values {
    /// Id of the generation; empty where there is none.
    pub(crate) job: String,
    /// The images in order; none in an error.
    pub(crate) images: Vec<Shown>,
    /// What was asked for.
    pub(crate) prompt: String,
    /// Status of the answer.
    pub(crate) status: u16,
    /// What went wrong, for people; empty where nothing did.
    pub(crate) message: String,
}

/// An image as templates see it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    /// Its stored name.
    pub(crate) name: String,
    /// Where clients find it.
    pub(crate) url: String,
    /// Pixels across.
    pub(crate) width: u32,
    /// Pixels down.
    pub(crate) height: u32,
    /// Its length.
    pub(crate) bytes: u64,
    /// What its bytes are.
    pub(crate) media_type: String,
    /// Their SHA-256, in hex.
    pub(crate) sha256: String,
}

const NAME: &str = "answer";

impl Template {
    /// Reads a template and fills it once, to see that it can be. An error says what is wrong, for people.
    pub fn new(text: &str, escape: Escape) -> Result<Self, String> {
        let strict = environment(text, escape, UndefinedBehavior::Strict).map_err(|error| said(&error))?;
        let filled = fill(&strict, &Values::example()).map_err(|error| said(&error))?;
        if escape == Escape::Json {
            serde_json::from_str::<serde::de::IgnoredAny>(&filled).map_err(|error| {
                format!("what it becomes is not JSON ({error}); texts stand in quotes, \"{{{{ prompt }}}}\"")
            })?;
        }
        let environment =
            environment(text, escape, UndefinedBehavior::Chainable).map_err(|error| said(&error))?;
        Ok(Self { text: text.into(), escape, environment: Arc::new(environment) })
    }

    /// A part of an answer, such as a header's value, which is no JSON by itself.
    pub fn part(text: &str) -> Result<Self, String> {
        Self::new(text, Escape::Plain)
    }

    /// As the operator wrote it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Fills it. What is not there is left out: the images are paid for, and an answer with a gap is better than none.
    pub(crate) fn fill(&self, values: &Values) -> String {
        fill(&self.environment, values).unwrap_or_else(|error| {
            tracing::error!(error = said(&error), "an answer could not be written by its template");
            String::new()
        })
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.escape) == (&other.text, other.escape)
    }
}

impl Eq for Template {}

impl Values {
    fn example() -> Self {
        let image = |index: u32| Shown {
            name: format!("fg-01890a5d-ac96-774b-bcce-b302099a8057-{index}.png"),
            url: format!("/figueira/images/fg-01890a5d-ac96-774b-bcce-b302099a8057-{index}.png"),
            width: 1024,
            height: 1024,
            bytes: 1,
            media_type: "image/png".to_owned(),
            sha256: "0".repeat(64),
        };
        Self {
            job: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            images: (0..10).map(image).collect(),
            prompt: "a \"fig\" <tree> & more".to_owned(),
            status: 200,
            message: "what went wrong".to_owned(),
        }
    }
}

fn environment(
    text: &str,
    escape: Escape,
    undefined: UndefinedBehavior,
) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(move |out, _, value| write(out, value, escape));
    environment.add_template_owned(NAME, text.to_owned())?;
    Ok(environment)
}

fn fill(environment: &Environment<'static>, values: &Values) -> Result<String, Error> {
    environment.get_template(NAME)?.render(Serde(values))
}

fn write(out: &mut Output<'_>, value: &Value, escape: Escape) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    let text = match (value.as_str(), value.is_safe()) {
        // Written by a filter such as `tojson`.
        (Some(text), true) => text.to_owned(),
        (Some(text), false) => escaped(text, escape),
        (None, _) if escape == Escape::Json => serde_json::to_string(value).unwrap_or_default(),
        (None, _) => escaped(&value.to_string(), escape),
    };
    Ok(out.write_str(&text)?)
}

fn escaped(text: &str, escape: Escape) -> String {
    match escape {
        Escape::Plain => text.to_owned(),
        Escape::Form => form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        Escape::Html => text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
            match c {
                '<' => safe.push_str("&lt;"),
                '>' => safe.push_str("&gt;"),
                '&' => safe.push_str("&amp;"),
                '"' => safe.push_str("&quot;"),
                '\'' => safe.push_str("&#39;"),
                _ => safe.push(c),
            }
            safe
        }),
        Escape::Json => {
            let quoted = serde_json::to_string(text).unwrap_or_default();
            let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
            // The same text, harmless also where somebody writes the JSON into a page.
            inner.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
        }
    }
}

/// What is wrong with a template, without what minijinja says of the source.
fn said(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    match error.line() {
        Some(line) if line > 1 => format!("{what}, in its line {line}"),
        _ => what,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn values(prompt: &str) -> Values {
        Values { prompt: prompt.to_owned(), ..Values::example() }
    }

    #[test]
    fn the_reference_answer_is_written() {
        let template =
            Template::new(r#"{"processamento":200,"imagem":"{{ images[0].name }}"}"#, Escape::Json).unwrap();
        let name = "fg-01890a5d-ac96-774b-bcce-b302099a8057-0.png";
        assert_eq!(template.fill(&values("")), format!(r#"{{"processamento":200,"imagem":"{name}"}}"#));
        let error =
            Template::new(r#"{"processamento":{{ status }},"msg":"{{ message }}"}"#, Escape::Json).unwrap();
        let failed = Values { status: 503, message: "no \"luck\"".into(), ..Values::default() };
        assert_eq!(error.fill(&failed), r#"{"processamento":503,"msg":"no \"luck\""}"#);
        let list =
            "[{% for image in images %}{{ image | tojson }}{% if not loop.last %},{% endif %}{% endfor %}]";
        let filled = Template::new(list, Escape::Json).unwrap().fill(&values(""));
        let list: serde_json::Value = serde_json::from_str(&filled).unwrap();
        assert_eq!(list[9]["width"], 1024);
    }

    #[test]
    fn what_cannot_be_filled_is_known_before() {
        for (text, expected) in [
            ("{{ images[0].nme }}", "undefined"),
            ("{{ imagens }}", "undefined"),
            ("{{ job", "unexpected end of input"),
            ("{% if %}", "unexpected"),
            ("{{ job | upperr }}", "upperr"),
            ("{\"a\": {{ prompt }}}", "not JSON"),
            ("\n{\"a\": {{ x }}}", "in its line 2"),
        ] {
            let why = Template::new(text, Escape::Json).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }

    #[test]
    fn an_image_that_is_not_there_leaves_a_gap() {
        let template = Template::new(r#"{"second":"{{ images[1].name }}"}"#, Escape::Json).unwrap();
        let mut one = values("");
        one.images.truncate(1);
        assert_eq!(template.fill(&one), r#"{"second":""}"#);
    }

    #[test]
    fn a_value_stays_a_value() {
        let hostile = r#"</script><b a='1'>"&"#;
        let of =
            |escape| Template::new("{{ prompt }}", escape).map(|template| template.fill(&values(hostile)));
        assert_eq!(of(Escape::Html).unwrap(), "&lt;/script&gt;&lt;b a=&#39;1&#39;&gt;&quot;&amp;");
        assert_eq!(of(Escape::Form).unwrap(), "%3C%2Fscript%3E%3Cb+a%3D%271%27%3E%22%26");
        assert_eq!(of(Escape::Plain).unwrap(), hostile);
        for (content_type, escape) in [
            ("application/json; charset=utf-8", Some(Escape::Json)),
            ("application/vnd.shop+json", Some(Escape::Json)),
            ("Text/HTML", Some(Escape::Html)),
            ("image/svg+xml", Some(Escape::Html)),
            ("text/plain", Some(Escape::Plain)),
            ("text/javascript", None),
            ("", None),
        ] {
            assert_eq!(Escape::of(content_type), escape, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn any_prompt_comes_back_from_json(prompt in any::<String>()) {
            let template = Template::new(r#"{"prompt":"{{ prompt }}"}"#, Escape::Json).unwrap();
            let read: serde_json::Value = serde_json::from_str(&template.fill(&values(&prompt))).unwrap();
            prop_assert_eq!(read["prompt"].as_str(), Some(prompt.as_str()));
        }

        #[test]
        fn any_prompt_comes_back_from_a_form(prompt in any::<String>()) {
            let template = Template::new("p={{ prompt }}&q=1", Escape::Form).unwrap();
            let filled = template.fill(&values(&prompt));
            let fields: Vec<_> = form_urlencoded::parse(filled.as_bytes()).into_owned().collect();
            prop_assert_eq!(fields, vec![("p".to_owned(), prompt), ("q".to_owned(), "1".to_owned())]);
        }
    }
}
