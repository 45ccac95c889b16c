//! `?limit=&after=`: long lists, a page at a time.

/// Items of one page, unless fewer or more are asked for.
const ITEMS: usize = 1_000;
/// The longest page.
const MOST: usize = 10_000;

/// What part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    after: Option<String>,
}

impl Page {
    /// Reads the query; says what is wrong with it.
    pub(super) fn of(query: Option<&str>) -> Result<Self, String> {
        Self::with(ITEMS, query)
    }

    /// The same for lists of which so many `items` are a page, unless it says how many.
    pub(super) fn with(items: usize, query: Option<&str>) -> Result<Self, String> {
        let mut page = Self { limit: items, after: None };
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*key {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    page.limit = limit.ok_or_else(|| format!("`limit` is from 1 to {MOST}"))?;
                }
                "after" => page.after = Some(value.into_owned()),
                other => return Err(format!("there is no parameter \"{other}\": ask with limit and after")),
            }
        }
        Ok(page)
    }

    /// How many items it has at most, and after which it begins.
    pub(super) fn parts(&self) -> (usize, Option<&str>) {
        (self.limit, self.after.as_deref())
    }

    /// The items of this page, each known by its `key`, and after which the next page begins, where there is one.
    pub(super) fn of_list<'l, T>(
        &self,
        list: &'l [T],
        key: impl Fn(&'l T) -> &'l str,
    ) -> Result<(&'l [T], Option<&'l str>), String> {
        let first = match &self.after {
            None => 0,
            Some(after) => {
                let place = list.iter().position(|item| key(item) == after);
                1 + place.ok_or_else(|| format!("`after` names \"{after}\", and there is none"))?
            }
        };
        let left = list.get(first..).unwrap_or_default();
        let items = left.get(..self.limit).unwrap_or(left);
        let next = items.last().filter(|_| items.len() < left.len()).map(key);
        Ok((items, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_to_the_end() {
        let list = ["a", "b", "c", "d", "e"];
        let cut = |query: &str| Page::of(Some(query)).and_then(|page| page.of_list(&list, |item| item));
        assert_eq!(cut(""), Ok((&list[..], None)));
        assert_eq!(cut("limit=2"), Ok((&list[..2], Some("b"))));
        assert_eq!(cut("limit=2&after=b"), Ok((&list[2..4], Some("d"))));
        assert_eq!(cut("limit=2&after=d"), Ok((&list[4..], None)));
        assert_eq!(cut("after=e"), Ok((&list[5..], None)));
        assert!(cut("after=f").is_err() && cut("limit=10001").is_err());
    }
}
