//! Which threads wait for which, where processors are short: whatever is beside the requests gives way to them.

use std::io::{self, Write};

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

/// Bytes that one call to the kernel may move: it does so in a tenth of a millisecond.
const PIECE: usize = 128 * 1024;

/// Writes all of it, in pieces. A kernel that is not preemptible (`PREEMPT_NONE`, as most servers have it) ends a call
/// before it lets another thread on, whatever their priorities: the megabytes of an image are milliseconds.
pub(crate) fn write_all(file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(PIECE).try_for_each(|piece| file.write_all(piece))
}

fn lower(by: i32) {
    if let Err(error) = rustix::process::nice(by) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{self, Write},
        thread,
    };

    use super::PIECE;

    #[test]
    fn what_is_written_is_all_of_it_and_no_call_moves_much() {
        struct Calls(Vec<u8>, usize);

        impl Write for Calls {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 = self.1.max(bytes.len());
                self.0.write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        for length in [0, 1, PIECE, 3 * PIECE + 1] {
            let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let mut calls = Calls(Vec::new(), 0);
            super::write_all(&mut calls, &bytes).unwrap();
            assert!(calls.0 == bytes && calls.1 <= PIECE, "{length}");
        }
    }

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
