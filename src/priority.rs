//! Which threads wait for which, where processors are short: whatever is beside the requests gives way to them.

/// Below the default by as much as leaves four fifths of what an equal would have: rules and brakes have to come into
/// force on a busy machine too.
const LOW: i32 = 1;
/// As far below it as there is: a sixtieth of what an equal would have, and all that nobody else wants.
const LOWEST: i32 = 19;

/// The calling thread, and those that it starts, give way a little to the others from now on.
pub(crate) fn give_way() {
    lower(LOW);
}

/// The calling thread, and those that it starts, run when no other wants to.
pub(crate) fn come_last() {
    lower(LOWEST);
}

fn lower(by: i32) {
    if let Err(error) = rustix::process::nice(by) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    /// The nineteenth field of `proc_pid_stat(5)`.
    fn niceness() -> i32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_calling_thread_gives_way() {
        let before = niceness();
        let given = |way: fn()| {
            let lower = thread::spawn(move || {
                way();
                niceness()
            });
            lower.join().unwrap()
        };
        let ways = [super::give_way, super::come_last];
        assert!([before].into_iter().chain(ways.map(given)).is_sorted_by(|higher, lower| higher < lower));
        assert_eq!(niceness(), before);
    }
}
