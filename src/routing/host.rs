//! Which hosts a route takes.

use std::{cmp::Reverse, fmt};

/// The hosts of a route; names are lower case, without port and without the root's dot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Host {
    /// Every host.
    #[default]
    Any,
    /// Every name below this one, however deep, and not the name itself: `*.example.com`.
    Below(Box<str>),
    /// This one.
    Exact(Box<str>),
}

impl Host {
    /// Whether `host` is one of them: as sent, in any case, but [`bare`].
    pub(super) fn takes(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::Below(parent) => host
                .len()
                .checked_sub(parent.len())
                .and_then(|length| host.split_at_checked(length))
                .is_some_and(|(label, end)| {
                    end.eq_ignore_ascii_case(parent) && label.len() > 1 && label.ends_with('.')
                }),
        }
    }

    /// Whether some host is taken by both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Exact(name), hosts) | (hosts, Self::Exact(name)) => hosts.takes(name),
            (Self::Below(a), Self::Below(b)) => a == b || self.takes(b) || other.takes(a),
        }
    }

    /// Orders the more exact first. Of hosts that meet, only equal ones rank equally.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        match self {
            Self::Exact(_) => (0, Reverse(0)),
            Self::Below(parent) => (1, Reverse(parent.len())),
            Self::Any => (2, Reverse(0)),
        }
    }
}

/// As in `routes.toml`.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

/// A `Host` field's value without its port and without the root's dot.
pub(super) fn bare(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_takes_what_is_below_and_nothing_else() {
        let wild = Host::Below("example.com".into());
        for host in ["www.example.com", "a.b.EXAMPLE.com", "-.example.com"] {
            assert!(wild.takes(host), "{host}");
        }
        for host in
            ["example.com", ".example.com", "badexample.com", "example.com.evil", "", "\u{e9}ample.com"]
        {
            assert!(!wild.takes(host), "{host}");
        }
        assert_eq!(bare("www.example.com.:8080"), "www.example.com");
        assert_eq!(bare("[2001:db8::1]"), "[2001:db8::1]");
    }

    #[test]
    fn hosts_that_meet_are_ordered_unless_they_are_equal() {
        let hosts = [
            Host::Any,
            Host::Below("com".into()),
            Host::Below("example.com".into()),
            Host::Below("example.org".into()),
            Host::Exact("www.example.com".into()),
            Host::Exact("example.com".into()),
        ];
        let meets: Vec<Vec<bool>> =
            hosts.iter().map(|a| hosts.iter().map(|b| a.meets(b)).collect()).collect();
        assert_eq!(meets[1], [true, true, true, false, true, true]);
        assert_eq!(meets[2], [true, true, true, false, true, false]);
        assert_eq!(meets[4], [true, true, true, false, true, false]);
        for (a, b) in hosts.iter().flat_map(|a| hosts.iter().map(move |b| (a, b))) {
            assert_eq!(a.meets(b), b.meets(a), "{a} {b}");
            assert!(!a.meets(b) || a == b || a.rank() != b.rank(), "{a} {b}");
        }
    }
}
