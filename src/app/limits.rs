//! How many descriptors this process may have open: as many as it is allowed to, and a word where that is too few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beside those of exchanges: listeners, databases, the log.
const OWN: u64 = 256;

/// Raises the soft limit to the hard one (setrlimit(2)), as what serves `connections` has need of.
pub(super) fn raise(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit of open descriptors stays as it is");
    }
    // Each connection may have one to an upstream.
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(OWN);
    if let Some(descriptors) = maximum.filter(|maximum| *maximum < wanted) {
        tracing::warn!(
            descriptors,
            wanted,
            "fewer descriptors than limits.connections may need: raise the limit (ulimit -Hn, LimitNOFILE=)"
        );
    }
}
