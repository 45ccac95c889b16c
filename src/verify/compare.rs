//! Compares an answer that came through the gateway with those that the site gave itself.

mod told;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::told::{abridged, apart, around, ending, excerpt, line, line_of, shown};
use super::{
    answer::{Answer, End, Field, Head},
    exchange::Trailers,
    expected::Expected,
};

/// Fields of one connection (RFC 9110, 7.6.1): both sides have their own.
const OF_THE_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "upgrade"];

/// One thing that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `answer`, `status line`, `fields`, `body`, `trailers`, `interim response`, `end`.
    pub part: &'static str,
    /// Which of the answers, where an exchange has several; from 1.
    pub answer: usize,
    /// Where in a body, in bytes.
    pub at: Option<usize>,
    /// What the site says, a line each.
    pub direct: Vec<String>,
    /// What came through the gateway.
    pub via: Vec<String>,
}

/// What came of comparing an exchange.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) differences: Vec<Difference>,
    /// What the site's own answers do not agree on.
    pub(super) varies: BTreeSet<String>,
    /// What is of each connection, or made harmless, and differs.
    pub(super) of_the_hop: BTreeSet<String>,
    /// Whether trailers may go on their way.
    trailers: Trailers,
}

impl Comparison {
    /// Of an exchange whose requests say this of trailers.
    pub(super) fn with(trailers: Trailers) -> Self {
        Self { trailers, ..Self::default() }
    }

    /// Of the answer at `place`, by which nothing can be judged because the site does not end it.
    pub(super) fn endless(place: usize, own: &Answer) -> Self {
        let (direct, via) = (vec![ending(own.end).to_owned()], vec!["not asked, and not judged".to_owned()]);
        let difference = Difference { part: "end", answer: place + 1, at: None, direct, via };
        Self { differences: vec![difference], ..Self::default() }
    }

    /// Compares the answer at `place` with the site's own at that place.
    pub(super) fn compare(&mut self, place: usize, own: &[&Answer], via: &Answer) {
        let Some(last) = own.last() else { return };
        let answered: Vec<&Answer> = own.iter().copied().filter(|one| one.head.is_some()).collect();
        if !answered.is_empty() && answered.len() < own.len() {
            // Some sites race with the end of who has finished sending.
            self.varies.insert("whether there is an answer".to_owned());
            if via.head.is_some() {
                self.compare(place, &answered, via);
            }
            return;
        }
        let mut differences = Vec::new();
        let mut differs = |part, at, direct, via| {
            differences.push(Difference { part, answer: place + 1, at, direct, via });
        };
        let (Some(ours), Some(theirs)) = (&last.head, &via.head) else {
            match (&last.head, &via.head) {
                (None, Some(_)) if place > 0 && last.end == End::Cut => {
                    // A site that closes after every answer is asked anew for each.
                    self.of_the_hop.insert("answers before which the site closes its connection".to_owned());
                }
                (None, Some(head)) if head.status().is_some_and(|status| status >= 400) => {
                    self.of_the_hop
                        .insert("no answer of the site's: the gateway says so by its own".to_owned());
                }
                (None, None) => {}
                (ours, theirs) => {
                    differs("answer", None, vec![line_of(ours.as_ref())], vec![line_of(theirs.as_ref())]);
                }
            }
            self.differences.extend(differences);
            return;
        };

        let lines: Vec<&[u8]> = own.iter().filter_map(|one| Some(one.head.as_ref()?.parts().1)).collect();
        let expected = self.learned("status line", &lines);
        if expected.differs(theirs.parts().1).is_some() {
            differs("status line", None, vec![shown(&ours.line)], vec![shown(&theirs.line)]);
        }
        if ours.parts().0 != theirs.parts().0 {
            self.of_the_hop.insert("the version in the status line".to_owned());
        }

        let fields: Vec<Vec<Field>> =
            own.iter().filter_map(|one| Some(Self::end_to_end(one.head.as_ref()?))).collect();
        let (ours, theirs) = self.lines("field", &fields, &Self::end_to_end(theirs));
        if ours != theirs {
            let (ours, theirs) = apart(&ours, &theirs);
            differs("fields", None, ours, theirs);
        }
        self.note_the_hop(own, via);

        let bodies: Vec<&[u8]> = own.iter().map(|one| &one.body[..]).collect();
        let expected = self.learned("body", &bodies);
        if let Some(at) = expected.differs(&via.body) {
            let context = |body: &[u8]| vec![format!("{} bytes: {}", body.len(), around(body, at))];
            differs("body", Some(at), context(&last.body), context(&via.body));
        }

        let trailers: Vec<Vec<Field>> = own.iter().map(|one| announced(one)).collect();
        let (ours, theirs) = self.lines("trailer", &trailers, &announced(via));
        if ours != theirs {
            if theirs.is_empty() && self.trailers == Trailers::MayGo {
                // Taken away unless they are announced and asked for: that is of each hop (RFC 9110, 6.5.1).
                self.of_the_hop.insert("trailers".to_owned());
            } else {
                let (ours, theirs) = abridged(&ours, &theirs);
                differs("trailers", None, ours, theirs);
            }
        }
        let hints: Vec<Vec<Field>> = own.iter().map(|one| interim(one)).collect();
        let (ours, theirs) = self.lines("interim response", &hints, &interim(via));
        if ours != theirs {
            let (ours, theirs) = abridged(&ours, &theirs);
            differs("interim response", None, ours, theirs);
        }
        // What follows an answer of the site's is nobody's, and goes.
        if last.end != via.end && (last.end, via.end) != (End::Followed, End::Whole) {
            differs("end", None, vec![ending(last.end).to_owned()], vec![ending(via.end).to_owned()]);
        }
        self.differences.extend(differences);
    }

    fn learned(&mut self, what: &str, samples: &[&[u8]]) -> Expected {
        let expected = Expected::of(samples);
        if expected.varies() {
            let text = expected.shown();
            self.varies.insert(format!("{what}: {}", excerpt(&text, 0, 100)));
        }
        expected
    }

    /// The fields that are neither of the hop nor nominated by `Connection`, those of one name together: a gateway may
    /// put them together, and may not change their order (RFC 9110, 5.3).
    fn end_to_end(head: &Head) -> Vec<Field> {
        let options: Vec<Vec<u8>> = head
            .values("connection")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(|option| option.trim_ascii().to_ascii_lowercase())
            .collect();
        let has_chunks = head.values("transfer-encoding").next().is_some();
        let kept = head.fields.iter().filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            let is_length = name == b"content-length" && (has_chunks || head.status() == Some(204));
            !is_length
                && !OF_THE_HOP.iter().any(|of_the_hop| of_the_hop.as_bytes() == name)
                && (!options.contains(&name) || name == b"set-cookie")
        });
        let mut together: Vec<Field> = Vec::new();
        for field in kept {
            let same = together.iter().rposition(|(name, _)| name.eq_ignore_ascii_case(&field.0));
            together.insert(same.map_or(together.len(), |same| same + 1), field.clone());
        }
        together
    }

    /// Both sides as lines that are equal where they should be. What varies between the site's own is `*` in both, and a
    /// field that is not in all of these is left out of all.
    fn lines(&mut self, what: &str, own: &[Vec<Field>], via: &[Field]) -> (Vec<String>, Vec<String>) {
        let counts: Vec<BTreeMap<&[u8], usize>> = own.iter().map(|fields| counted(fields)).collect();
        let mut unsteady = BTreeSet::new();
        for name in counts.iter().flat_map(|counts| counts.keys()) {
            let first = counts.first().and_then(|counts| counts.get(name));
            if counts.iter().any(|counts| counts.get(name) != first) {
                unsteady.insert(*name);
                self.varies.insert(format!("{what} {}: not always there", shown(name)));
            }
        }
        let steady = |fields: &[Field]| -> Vec<Field> {
            fields.iter().filter(|(name, _)| !unsteady.contains(&name[..])).cloned().collect()
        };
        let mut own: Vec<Vec<Field>> = own.iter().map(|fields| steady(fields)).collect();
        let mut via = steady(via);
        let names = |fields: &[Field]| fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let first = own.first().map(|fields| names(fields)).unwrap_or_default();
        if own.iter().any(|fields| names(fields) != first) {
            self.varies.insert(format!("order of the {what}s"));
            for fields in own.iter_mut().chain([&mut via]) {
                fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            }
        }
        let Some(last) = own.last() else { return (Vec::new(), Vec::new()) };
        let (mut ours, mut expected) = (Vec::new(), BTreeMap::<&[u8], Vec<Expected>>::new());
        for (place, (name, _)) in last.iter().enumerate() {
            let values: Vec<&[u8]> =
                own.iter().filter_map(|fields| fields.get(place).map(|(_, value)| &value[..])).collect();
            let learned = self.learned(&format!("{what} {}", shown(name)), &values);
            ours.push(line(name, &learned.shown()));
            expected.entry(name).or_default().push(learned);
        }
        let mut seen = BTreeMap::<&[u8], usize>::new();
        let theirs = via.iter().map(|(name, value)| {
            let nth = seen.entry(name).or_default();
            let learned = expected.get(&name[..]).and_then(|learned| learned.get(*nth));
            *nth += 1;
            match learned {
                Some(learned) if learned.differs(value).is_none() => line(name, &learned.shown()),
                _ => line(name, value),
            }
        });
        (ours, theirs.collect())
    }

    fn note_the_hop(&mut self, own: &[&Answer], via: &Answer) {
        let (Some(ours), Some(theirs)) = (own.last().and_then(|one| one.head.as_ref()), &via.head) else {
            return;
        };
        for name in OF_THE_HOP {
            if !ours.values(name).eq(theirs.values(name)) {
                self.of_the_hop.insert(format!("the field {name}"));
            }
        }
    }
}

fn counted(fields: &[Field]) -> BTreeMap<&[u8], usize> {
    let mut counts = BTreeMap::new();
    for (name, _) in fields {
        *counts.entry(&name[..]).or_default() += 1;
    }
    counts
}

/// The trailers that `Trailer` names: the others may go (RFC 9110, 6.6.2).
fn announced(answer: &Answer) -> Vec<Field> {
    let announcements = answer.head.iter().flat_map(|head| head.values("trailer"));
    let names: Vec<_> = announcements.flat_map(|names| names.split(|byte| *byte == b',')).collect();
    let is_announced = |name: &[u8]| names.iter().any(|named| named.trim_ascii().eq_ignore_ascii_case(name));
    let mut trailers = lower(&answer.trailers);
    trailers.retain(|(name, _)| is_announced(name));
    trailers
}

/// Names in lower case: those of trailers and interim responses are.
fn lower(fields: &[Field]) -> Vec<Field> {
    fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

/// Interim responses as one list of fields.
fn interim(answer: &Answer) -> Vec<Field> {
    let fields = answer.interim.iter().flat_map(|head| {
        let status = head.status().map(|status| status.to_string()).unwrap_or_default();
        std::iter::once((b":status".to_vec(), status.into_bytes())).chain(lower(&head.fields))
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            head: Some(Head::read(format!("{head}\r\n\r\n").as_bytes())),
            body: body.as_bytes().to_vec(),
            end: End::Whole,
            ..Answer::default()
        }
    }

    fn compared(own: &[&str], via: &str) -> Comparison {
        let own: Vec<Answer> = own.iter().map(|text| answer(text)).collect();
        let mut comparison = Comparison::default();
        comparison.compare(0, &own.iter().collect::<Vec<_>>(), &answer(via));
        comparison
    }

    fn parts(comparison: &Comparison) -> Vec<&'static str> {
        comparison.differences.iter().map(|difference| difference.part).collect()
    }

    const PAGE: &str = "HTTP/1.1 200 OK\r\nServer: a\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello";

    #[test]
    fn equal_answers_are_equal() {
        let same = compared(&[PAGE, PAGE], PAGE);
        assert!(
            same.differences.is_empty() && same.varies.is_empty() && same.of_the_hop.is_empty(),
            "{same:?}"
        );
    }

    #[test]
    fn every_planted_difference_is_found() {
        for (from, to, part) in [
            ("200 OK", "200 Ok", "status line"),
            ("200 OK", "201 OK", "status line"),
            ("Server: a", "server: a", "fields"),
            ("Server: a", "Server: b", "fields"),
            ("Server: a\r\n", "", "fields"),
            ("Server: a\r\n", "Server: a\r\nX-Added: 1\r\n", "fields"),
            ("Server: a\r\nDate: now\r\n", "Date: now\r\nServer: a\r\n", "fields"),
            ("hello", "hellO", "body"),
            ("hello", "hello!", "body"),
        ] {
            assert_eq!(
                parts(&compared(&[PAGE, PAGE], &PAGE.replace(from, to))),
                [part],
                "{from:?} to {to:?}"
            );
        }
        let body = compared(&[PAGE, PAGE], &PAGE.replace("hello", "help")).differences;
        assert_eq!((body[0].at, &*body[0].via[0]), (Some(3), "4 bytes: help"));
    }

    #[test]
    fn a_long_field_is_compared_to_its_end() {
        let page = PAGE.replace("Server: a", &format!("Server: {}end", "long ".repeat(200)));
        let seen = compared(&[&page, &page], &page.replace("end", "END"));
        assert_eq!(parts(&seen), ["fields"]);
        let told =
            |lines: &[String]| lines.iter().map(|line| (line.len() < 40, line.ends_with("nd"))).collect();
        let told: Vec<(bool, bool)> = told(&seen.differences[0].direct);
        assert_eq!(told, [(true, true)], "{:?}", seen.differences[0]);
    }

    #[test]
    fn what_comes_after_an_answer_is_found_unless_the_site_sends_it() {
        let followed = Answer { end: End::Followed, ..answer(PAGE) };
        let mut comparison = Comparison::default();
        comparison.compare(0, &[&answer(PAGE)], &followed);
        assert_eq!(parts(&comparison), ["end"]);
        let mut comparison = Comparison::default();
        comparison.compare(0, &[&followed], &answer(PAGE));
        assert_eq!(parts(&comparison), [""; 0]);
    }

    #[test]
    fn trailers_are_owed_where_they_are_announced_and_asked_for() {
        let trailers = |head: &str, trailers: &[(&str, &str)]| Answer {
            trailers: trailers
                .iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect(),
            ..answer(head)
        };
        let page = PAGE.replace("Server: a", "Server: a\r\nTrailer: X-Sum");
        let own = trailers(&page, &[("X-Sum", "1"), ("X-Other", "2")]);
        for (asked, via, found) in [
            (Trailers::AskedFor, trailers(&page, &[("x-sum", "1")]), false),
            (Trailers::AskedFor, trailers(&page, &[("x-sum", "2")]), true),
            (Trailers::AskedFor, trailers(&page, &[]), true),
            (Trailers::MayGo, trailers(&page, &[]), false),
            (Trailers::MayGo, trailers(&page, &[("x-sum", "2")]), true),
        ] {
            let mut comparison = Comparison::with(asked);
            comparison.compare(0, &[&own], &via);
            assert_eq!(parts(&comparison).contains(&"trailers"), found, "{asked:?} {via:?}");
        }
    }

    #[test]
    fn what_the_site_itself_varies_is_said_and_not_held_against_the_gateway() {
        let later = PAGE.replace("now", "later").replace("hello", "hallo");
        let seen = compared(&[PAGE, &later], &PAGE.replace("now", "after").replace("hello", "hullo"));
        assert_eq!(parts(&seen), [""; 0]);
        let varies: Vec<_> = seen.varies.into_iter().collect();
        assert_eq!(varies, ["body: *", "field Date: *"]);
        let seen = compared(&[PAGE, &later], &PAGE.replace("Server: a", "Server: b"));
        assert_eq!(parts(&seen), ["fields"]);
        let sometimes = PAGE.replace("Date: now\r\n", "");
        assert_eq!(parts(&compared(&[PAGE, &sometimes], PAGE)), [""; 0]);
        assert_eq!(parts(&compared(&[PAGE, &sometimes], &sometimes)), [""; 0]);
    }

    #[test]
    fn what_is_of_each_connection_is_not_compared() {
        let direct =
            "HTTP/1.0 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nA: 1\r\nB: 1\r\nA: 2\r\n\r\nhello";
        let via = "HTTP/1.1 200 OK\r\nA: 1\r\nA: 2\r\nB: 1\r\nTransfer-Encoding: chunked\r\n\r\nhello";
        let seen = compared(&[direct, direct], via);
        assert_eq!(parts(&seen), [""; 0], "{seen:?}");
        assert_eq!(seen.of_the_hop.len(), 3, "{seen:?}");
        assert_eq!(
            parts(&compared(&[direct, direct], &via.replace("A: 1\r\nA: 2", "A: 2\r\nA: 1"))),
            ["fields"]
        );
    }

    #[test]
    fn a_site_that_answers_now_and_then_is_held_to_its_answers() {
        let none = Answer::default();
        for own in [[&none, &answer(PAGE)], [&answer(PAGE), &none]] {
            let found = |via: &Answer| {
                let mut comparison = Comparison::default();
                comparison.compare(0, &own, via);
                (comparison.differences.len(), comparison.varies.len())
            };
            assert_eq!(found(&answer(PAGE)), (0, 1));
            assert_eq!(found(&none), (0, 1));
            assert_eq!(found(&answer(&PAGE.replace("Server: a", "Server: b"))), (1, 1));
        }
    }

    #[test]
    fn no_answer_is_an_answer_too() {
        let none = Answer::default();
        let mut comparison = Comparison::default();
        comparison.compare(0, &[&none], &answer("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
        assert!(comparison.differences.is_empty());
        // RFC 9112, 9.6: what follows on a connection that the site has closed after an answer, it never read.
        comparison.compare(1, &[&none, &none], &answer(PAGE));
        assert_eq!((parts(&comparison), comparison.of_the_hop.len()), (vec![], 2));
        comparison.compare(0, &[&none], &answer(PAGE));
        assert_eq!(parts(&comparison), ["answer"]);
        comparison.compare(0, &[&answer(PAGE)], &none);
        assert_eq!(parts(&comparison), ["answer", "answer"]);
        let cut = Answer { end: End::Cut, ..answer(PAGE) };
        let mut comparison = Comparison::default();
        comparison.compare(1, &[&answer(PAGE)], &cut);
        assert_eq!((parts(&comparison), comparison.differences[0].answer), (vec!["end"], 2));
    }
}
