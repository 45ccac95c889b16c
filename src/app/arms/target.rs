//! Where the image is that an answer names: on the site that gave the answer, and nowhere else.

use http::{Uri, header::HOST};

use crate::parallel_run::{
    answer::Delivery,
    candidate::{CapturedRequest, FetchFault, ImageName},
};

/// Where on its own site an image may be, in the order in which it is asked for: nothing that an answer says leads to
/// another host.
pub(super) fn targets(
    name: ImageName<'_>,
    request: &CapturedRequest,
    shown_at: &[String],
) -> Result<Vec<Uri>, FetchFault> {
    let paths = if name.delivery == Delivery::Name {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let plain = !name.text.is_empty() && name.text.bytes().all(letter);
        let templates = shown_at.iter().filter(|_| plain);
        templates.map(|template| template.replacen("{name}", name.text, 1)).collect()
    } else {
        let url: Uri = name.text.parse().map_err(|_| refused(name.text))?;
        let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
        let own = url.authority().is_none_or(|authority| Some(authority.as_str()) == host);
        Vec::from_iter(url.path_and_query().filter(|_| own).map(ToString::to_string))
    };
    if paths.is_empty() || !paths.iter().all(|path| path.starts_with('/')) {
        return Err(refused(name.text));
    }
    paths.iter().map(|path| path.parse().map_err(|_| refused(name.text))).collect()
}

/// The name leads nowhere that may be asked.
pub(super) fn refused(name: &str) -> FetchFault {
    FetchFault::Refused(name.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel_run::testing::request_with;

    fn found(delivery: Delivery, text: &str, shown_at: &[&str]) -> Result<Vec<String>, FetchFault> {
        let request = request_with([(HOST, "shop.test".parse().unwrap())].into_iter().collect());
        let shown_at: Vec<_> = shown_at.iter().map(ToString::to_string).collect();
        let targets = targets(ImageName { text, delivery }, &request, &shown_at)?;
        Ok(targets.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_that_an_answer_says_leads_to_another_host() {
        for (url, path) in [
            ("/img/a.png?w=3", "/img/a.png?w=3"),
            ("http://shop.test/img/a.png", "/img/a.png"),
            ("https://shop.test", "/"),
            ("//evil.test/a.png", "//evil.test/a.png"),
        ] {
            assert_eq!(found(Delivery::Url, url, &[]), Ok(vec![path.to_owned()]), "{url}");
        }
        for url in [
            "http://evil.test/a.png",
            "http://shop.test.evil.test/a.png",
            "http://shop.test@evil.test/a.png",
            "http://evil.test/http://shop.test/a.png",
            "http://shop.test:81/a.png",
            "http://169.254.169.254/latest/meta-data",
            "http://",
        ] {
            assert_eq!(found(Delivery::Url, url, &["/img/{name}"]), Err(refused(url)), "{url}");
        }
        for name in ["", "../admin", "a/b.png", "a.png?x", "a b.png", "..%2fadmin", "evil.test:80"] {
            assert_eq!(found(Delivery::Name, name, &["/img/{name}"]), Err(refused(name)), "{name}");
        }
    }

    #[test]
    fn a_bare_name_may_be_wherever_the_site_shows_images() {
        let both = ["/img/a.png", "/old/a.png/large"].map(str::to_owned).to_vec();
        assert_eq!(found(Delivery::Name, "a.png", &["/img/{name}", "/old/{name}/large"]), Ok(both));
        assert_eq!(found(Delivery::Name, "a.png", &[]), Err(refused("a.png")));
    }
}
