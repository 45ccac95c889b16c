//! The exchanges that are built in: what HTTP allows and intermediaries are known to change, asked of any site.

use regex::bytes::Regex;

use super::{
    answer::Answer,
    exchange::{Draft, Exchange, Step},
};

/// What the site's first page says that later requests depend on.
#[derive(Clone, Debug, Default)]
pub struct FirstPage {
    etag: Option<String>,
    modified: Option<String>,
    links: Vec<String>,
}

/// Links of the first page that are followed.
const LINKS: usize = 12;
/// A target at which no site has anything.
const NOWHERE: &str = "/figueira-verify";

impl FirstPage {
    pub(super) fn of(answer: &Answer) -> Self {
        let field = |name| {
            let value = answer.head.as_ref()?.value(name)?;
            value.is_ascii().then(|| String::from_utf8_lossy(value).into_owned())
        };
        Self { etag: field("etag"), modified: field("last-modified"), links: links(&answer.body) }
    }
}

/// The paths that a page links to, each once.
fn links(page: &[u8]) -> Vec<String> {
    let Ok(link) = Regex::new(r#"(?:href|src|srcset)=["']?(/[!$-&(-;=?-~]*)"#) else { return Vec::new() };
    let mut links = Vec::new();
    for found in link.captures_iter(page) {
        let Some(link) = found.get(1).and_then(|link| std::str::from_utf8(link.as_bytes()).ok()) else {
            continue;
        };
        let link = link.split('#').next().unwrap_or(link).replace("&amp;", "&");
        let is_own = !link.starts_with("//") && link != "/" && !link.contains(['`', '<', '>', '\\']);
        if is_own && links.len() < LINKS && !links.contains(&link) {
            links.push(link);
        }
    }
    links
}

/// Requests of one line and a few fields: `{etag}` and `{modified}` are the first page's.
const PLAIN: &[(&str, &str, &[&str])] = &[
    ("a page", "GET / HTTP/1.1", &[]),
    ("a page's head", "HEAD / HTTP/1.1", &[]),
    ("what a page allows", "OPTIONS / HTTP/1.1", &[]),
    ("what the site allows", "OPTIONS * HTTP/1.1", &[]),
    ("a connection that ends", "GET / HTTP/1.1", &["Connection: close"]),
    ("HTTP/1.0", "GET / HTTP/1.0", &[]),
    ("HTTP/1.0 that is kept", "GET / HTTP/1.0", &["Connection: keep-alive"]),
    ("HTTP/1.0 HEAD", "HEAD / HTTP/1.0", &[]),
    ("nothing there", "GET /figueira-verify HTTP/1.1", &[]),
    ("nothing there, HEAD", "HEAD /figueira-verify HTTP/1.1", &[]),
    ("an empty query", "GET /? HTTP/1.1", &[]),
    ("a query", "GET /?a=1&a=2&&b=%zz&c=%20+ HTTP/1.1", &[]),
    ("a query of queries", "GET /??a=?/../ HTTP/1.1", &[]),
    ("two slashes", "GET // HTTP/1.1", &[]),
    ("slashes inside", "GET /figueira//verify HTTP/1.1", &[]),
    ("a dot", "GET /./ HTTP/1.1", &[]),
    ("two dots", "GET /figueira/../ HTTP/1.1", &[]),
    ("dots above the root", "GET /../ HTTP/1.1", &[]),
    ("encoded dots", "GET /figueira/%2e%2e/ HTTP/1.1", &[]),
    ("an encoded slash", "GET /figueira%2Fverify HTTP/1.1", &[]),
    ("lower case hexadecimals", "GET /figueira%2fverify HTTP/1.1", &[]),
    ("an encoded NUL", "GET /figueira%00 HTTP/1.1", &[]),
    ("an encoding that is none", "GET /figueira%zz HTTP/1.1", &[]),
    ("encoded UTF-8", "GET /caf%C3%A9 HTTP/1.1", &[]),
    ("parameters of a segment", "GET /figueira;a=b/verify;c HTTP/1.1", &[]),
    ("marks", "GET /~!$&'()*+,;=:@ HTTP/1.1", &[]),
    ("marks that should be encoded", "GET /figueira|^{}[] HTTP/1.1", &[]),
    ("robots.txt", "GET /robots.txt HTTP/1.1", &[]),
    ("favicon.ico", "GET /favicon.ico HTTP/1.1", &[]),
    ("unchanged, by its tag", "GET / HTTP/1.1", &["If-None-Match: {etag}"]),
    ("unchanged, HEAD", "HEAD / HTTP/1.1", &["If-None-Match: {etag}"]),
    ("unchanged, by its time", "GET / HTTP/1.1", &["If-Modified-Since: {modified}"]),
    ("changed, by its tag", "GET / HTTP/1.1", &["If-None-Match: \"figueira\""]),
    ("any tag", "GET / HTTP/1.1", &["If-None-Match: *"]),
    ("changed, by its time", "GET / HTTP/1.1", &["If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT"]),
    ("only this tag", "GET / HTTP/1.1", &["If-Match: \"figueira\""]),
    ("only if unchanged since", "GET / HTTP/1.1", &["If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT"]),
    ("not from a cache", "GET / HTTP/1.1", &["Cache-Control: no-cache", "Pragma: no-cache"]),
    ("the first byte", "GET / HTTP/1.1", &["Range: bytes=0-0"]),
    ("a range", "GET / HTTP/1.1", &["Range: bytes=0-99"]),
    ("the last bytes", "GET / HTTP/1.1", &["Range: bytes=-5"]),
    ("all but the first bytes", "GET / HTTP/1.1", &["Range: bytes=10-"]),
    ("two ranges", "GET / HTTP/1.1", &["Range: bytes=0-1,3-4"]),
    ("a range beyond the end", "GET / HTTP/1.1", &["Range: bytes=999999999999-"]),
    ("a range of something else", "GET / HTTP/1.1", &["Range: lines=1-2"]),
    ("a range of another version", "GET / HTTP/1.1", &["Range: bytes=0-9", "If-Range: \"figueira\""]),
    ("a range, HEAD", "HEAD / HTTP/1.1", &["Range: bytes=0-9"]),
    ("compressed", "GET / HTTP/1.1", &["Accept-Encoding: gzip"]),
    ("compressed in any way", "GET / HTTP/1.1", &["Accept-Encoding: gzip, deflate, br, zstd"]),
    ("not compressed", "GET / HTTP/1.1", &["Accept-Encoding: identity"]),
    ("as JSON", "GET / HTTP/1.1", &["Accept: application/json"]),
    ("in another language", "GET / HTTP/1.1", &["Accept-Language: pt-BR, pt;q=0.9, en;q=0.1"]),
    (
        "from a browser",
        "GET / HTTP/1.1",
        &["User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"],
    ),
    ("cookies", "GET / HTTP/1.1", &["Cookie: a=1; b=\"2 3\"; c"]),
    ("credentials", "GET / HTTP/1.1", &["Authorization: Basic ZmlndWVpcmE6dmVyaWZ5"]),
    (
        "from another origin",
        "GET / HTTP/1.1",
        &["Origin: https://other.example", "Referer: https://other.example/"],
    ),
    (
        "a preflight",
        "OPTIONS / HTTP/1.1",
        &[
            "Origin: https://other.example",
            "Access-Control-Request-Method: PUT",
            "Access-Control-Request-Headers: x-a",
        ],
    ),
    ("trailers are taken", "GET / HTTP/1.1", &["Connection: TE", "TE: trailers"]),
    (
        "odd fields",
        "GET / HTTP/1.1",
        &["x-UPPER-lower:no space", "X-Empty:", "X-Latin: caf\u{e9}", "X_Under: 1"],
    ),
    (
        "fields that come twice",
        "GET / HTTP/1.1",
        &["X-Twice: 1", "Accept: text/html", "x-twice: 2", "Accept: */*"],
    ),
    ("a body that nobody expects", "GET / HTTP/1.1", &["Content-Length: 0"]),
];

/// Those of methods that change nothing (RFC 9110, 9.2.1).
pub fn of_safe_methods(draft: &Draft, page: &FirstPage) -> Vec<Exchange> {
    let get = |target: &str| draft.request(&format!("GET {target} HTTP/1.1"), &[], b"");
    let mut exchanges: Vec<Exchange> = PLAIN
        .iter()
        .map(|(name, line, fields)| {
            let filled: Vec<String> = fields.iter().map(|field| filled(field, page)).collect();
            draft.asking(name, line, &filled.iter().map(String::as_str).collect::<Vec<_>>(), b"")
        })
        .collect();

    let absolute = format!("GET http://{}/ HTTP/1.1", draft.host());
    exchanges.push(draft.asking("an absolute target", &absolute, &[], b""));
    let long = format!("GET {NOWHERE}?{} HTTP/1.1", "long-".repeat(800));
    exchanges.push(draft.asking("a long target", &long, &[], b""));
    let many: Vec<String> = (0..60).map(|number| format!("X-Verify-{number}: {number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    exchanges.push(draft.asking("many fields", "GET / HTTP/1.1", &many, b""));
    let large = format!("X-Verify: {}", "large ".repeat(900));
    exchanges.push(draft.asking("a large field", "GET / HTTP/1.1", &[&large], b""));

    exchanges.push(draft.asking("GET with a body", "GET / HTTP/1.1", &["Content-Length: 5"], b"hello"));
    let chunks = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n";
    exchanges.push(draft.asking(
        "GET with chunks",
        "GET / HTTP/1.1",
        &["Transfer-Encoding: chunked"],
        chunks,
    ));
    exchanges.push(expecting(draft, "GET that expects to be told to continue", "GET / HTTP/1.1"));

    let answers = [get("/"), get(NOWHERE), get("/")];
    let in_turn = answers.iter().flat_map(|request| [Step::Send(request.clone()), Step::AwaitAnswer]);
    exchanges.push(draft.in_steps("three requests in turn", in_turn.collect()));
    exchanges.push(draft.in_steps("three requests at once", vec![Step::Send(answers.concat())]));
    let mixed =
        [draft.request("HEAD / HTTP/1.1", &[], b""), draft.request("OPTIONS / HTTP/1.1", &[], b""), get("/")];
    exchanges.push(draft.in_steps("three methods at once", vec![Step::Send(mixed.concat())]));
    // A body behind an answer that has none shows in the next one.
    let unchanged = draft.request("GET / HTTP/1.1", &[&filled("If-None-Match: {etag}", page)], b"");
    let twice = vec![Step::Send([unchanged, get("/")].concat())];
    exchanges.push(draft.in_steps("unchanged, and a page at once", twice));
    let bytes = get("/").chunks(7).map(|piece| Step::Send(piece.to_vec())).collect();
    exchanges.push(draft.in_steps("a request in small pieces", bytes));
    let late = [b"\r\n".to_vec(), get("/")].concat();
    exchanges.push(draft.in_steps("an empty line before a request", vec![Step::Send(late)]));
    exchanges
        .push(draft.in_steps("a client that has finished sending", vec![Step::Send(get("/")), Step::Finish]));

    exchanges.extend(page.links.iter().map(|link| draft.simple("a link of the first page", "GET", link)));
    exchanges
}

/// Those of methods that may change something. They go where no site has anything.
pub fn of_unsafe_methods(draft: &Draft) -> Vec<Exchange> {
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
    const CHUNKED: &str = "Transfer-Encoding: chunked";
    let line = |method: &str| format!("{method} {NOWHERE} HTTP/1.1");
    let sized = |name: &str, method: &str, media_type: &str, body: &[u8]| {
        draft.asking(name, &line(method), &[media_type, &format!("Content-Length: {}", body.len())], body)
    };
    let chunked = |name: &str, method: &str, fields: &[&str], body: &[u8]| {
        draft.asking(name, &line(method), &[&[CHUNKED][..], fields].concat(), body)
    };
    let megabyte: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
    let chunks: Vec<u8> = megabyte
        .chunks(16 << 10)
        .flat_map(|chunk| [&b"4000\r\n"[..], chunk, b"\r\n"].concat())
        .chain(*b"0\r\n\r\n")
        .collect();
    let multipart = b"--figueira\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--figueira--\r\n";
    vec![
        sized("POST of nothing", "POST", FORM, b""),
        sized("POST of a form", "POST", FORM, b"a=1&b=%20"),
        sized("POST of JSON", "POST", "Content-Type: application/json", br#"{"a":[1,"\u00e9"]}"#),
        sized("POST of a file", "POST", "Content-Type: multipart/form-data; boundary=figueira", multipart),
        sized("POST of a megabyte", "POST", "Content-Type: application/octet-stream", &megabyte),
        chunked("POST in chunks", "POST", &[FORM], b"3\r\na=1\r\n4;x=\"y\"\r\n&b=2\r\n0\r\n\r\n"),
        chunked("POST of a megabyte in chunks", "POST", &[], &chunks),
        chunked("POST with trailers", "POST", &["Trailer: X-Sum"], b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
        expecting(draft, "POST that expects to be told to continue", &line("POST")),
        sized("PUT", "PUT", "Content-Type: text/plain", b"hello"),
        sized("PATCH", "PATCH", "Content-Type: application/merge-patch+json", b"{}"),
        draft.simple("DELETE", "DELETE", NOWHERE),
        chunked("DELETE with chunks", "DELETE", &[], b"5\r\nhello\r\n0\r\n\r\n"),
    ]
}

fn expecting(draft: &Draft, name: &str, line: &str) -> Exchange {
    let head = draft.request(line, &["Expect: 100-continue", "Content-Length: 5"], b"");
    draft.in_steps(name, vec![Step::Send(head), Step::AwaitContinue, Step::Send(b"hello".to_vec())])
}

/// A field with what the first page said, or what a site of that kind could have said.
fn filled(field: &str, page: &FirstPage) -> String {
    let etag = page.etag.as_deref().unwrap_or("\"figueira-1\"");
    let modified = page.modified.as_deref().unwrap_or("Sat, 01 Jan 2050 00:00:00 GMT");
    field.replace("{etag}", etag).replace("{modified}", modified)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn sixty_and_more_are_built_in_and_only_read() {
        let draft = Draft::new("shop.test".to_owned(), Vec::new());
        let exchanges = of_safe_methods(&draft, &FirstPage::default());
        assert!(exchanges.len() >= 60, "{}", exchanges.len());
        let methods: BTreeSet<&str> =
            exchanges.iter().flat_map(|exchange| &exchange.methods).map(String::as_str).collect();
        assert_eq!(methods.into_iter().collect::<Vec<_>>(), ["GET", "HEAD", "OPTIONS"]);
        let names: BTreeSet<&str> = exchanges.iter().map(|exchange| &*exchange.name).collect();
        assert_eq!(names.len(), exchanges.len(), "two of one name");
        for exchange in of_unsafe_methods(&draft) {
            assert_eq!(exchange.methods.len(), 1, "{exchange:?}");
            assert!(exchange.request().contains(NOWHERE), "{exchange:?}");
        }
    }

    #[test]
    fn a_page_says_what_it_links_to() {
        let page = br##"<a href="/a?b=1&amp;c#d"> <img src='/i.png'> <a href=/a?b=1&c><a href="//other/x"><a href="https://o/">
            <a href="/"><script src=/s.js></script><a href="#x"><a href="/i.png">"##;
        assert_eq!(links(page), ["/a?b=1&c", "/i.png", "/s.js"]);
    }
}
