//! `multipart/form-data` (RFC 7578), as much of it as a shop of its age understood: the first part with a file name.

/// An uploaded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    pub(super) content: &'a [u8],
}

/// The boundary that a `Content-Type` names.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (essence, parameters) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })
}

/// The first file in `body`.
pub(super) fn first_file<'a>(body: &'a [u8], boundary: &str) -> Option<File<'a>> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(delimiter.as_bytes().get(2..)?)?;
    loop {
        let (head, after) = split_at(rest.strip_prefix(b"\r\n")?, b"\r\n\r\n")?;
        let (content, next) = split_at(after, delimiter.as_bytes())?;
        if let Some(name) = file_name(std::str::from_utf8(head).ok()?) {
            return Some(File { name, content });
        }
        rest = next;
    }
}

fn file_name(head: &str) -> Option<&str> {
    let disposition =
        head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let (_, after) = disposition.split_once("filename=\"")?;
    after.split('"').next()
}

fn split_at<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + separator.len()..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_boundary_may_be_quoted_and_follow_others() {
        assert_eq!(boundary("multipart/form-data; charset=utf-8; boundary=\"a b\""), Some("a b"));
        assert_eq!(boundary("Multipart/Form-Data;BOUNDARY=x"), Some("x"));
        assert_eq!(boundary("application/json; boundary=x"), None);
        assert_eq!(boundary("multipart/form-data"), None);
    }

    #[test]
    fn fields_before_the_file_are_passed_over() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n\
            --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\none\r\ntwo\r\n--x--\r\n";
        assert_eq!(first_file(body, "x"), Some(File { name: "a.txt", content: b"one\r\ntwo" }));
    }

    proptest! {
        #[test]
        fn any_content_comes_back(content in prop::collection::vec(any::<u8>(), 0..512)) {
            let head = b"--xyzzy\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n\r\n";
            let body = [head.as_slice(), &content, b"\r\n--xyzzy--\r\n"].concat();
            prop_assume!(!content.windows(9).any(|window| window == b"\r\n--xyzzy"));
            prop_assert_eq!(first_file(&body, "xyzzy").unwrap().content, content);
        }

        #[test]
        fn no_bytes_break_it(body in prop::collection::vec(any::<u8>(), 0..256), cut in 0_usize..90) {
            first_file(&body, "x");
            let whole = b"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n\r\nabc\r\n--x--\r\n";
            first_file(&whole[..cut.min(whole.len())], "x");
        }
    }
}
