//! Which threads wait for which, where processors are short: whatever is beside the requests gives way to them.

/// Below the default by as much as leaves four fifths of what an equal would have: rules and brakes have to come into
/// force on a busy machine too.
const LOW: i32 = 1;

/// The calling thread, and those that it starts, give way to the others from now on.
pub(crate) fn give_way() {
    if let Err(error) = rustix::process::nice(LOW) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    /// The nineteenth field of `proc_pid_stat(5)`.
    fn niceness() -> String {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().to_owned()
    }

    #[test]
    fn only_the_calling_thread_gives_way() {
        let before = niceness();
        let given = thread::spawn(|| {
            super::give_way();
            niceness()
        });
        assert_ne!(given.join().unwrap(), before);
        assert_eq!(niceness(), before);
    }
}
