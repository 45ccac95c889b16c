//! Which threads wait for which, where processors are short: whatever is beside the requests gives way to them.
//!
//! A thread's share is one thing, its turn another. Who computes keeps its processor for a slice before one that wakes up,
//! however low its priority, unless that one's slice is shorter; and who wakes up takes the turn of one that has had its
//! share, unless it is a batch. So all that is beside the requests has longer slices than the kernel gives (0.7 to 3 ms),
//! is a batch, and loses nothing of its share by it.

use std::{
    io::{self, Write},
    time::Duration,
};

use rustix::process::{getpid, getpriority_process, setpriority_process};

/// Below the default by as much as leaves four fifths of what an equal would have: rules and brakes have to come into
/// force on a busy machine too.
const LOW: i32 = 1;
/// As far below it as there is: a sixtieth of what an equal would have, and all that nobody else wants.
const LOWEST: i32 = 19;

/// Of those whose steps are short: what computes for long gives way to them.
const LONG: Duration = Duration::from_millis(20);
/// The longest that there is.
const LONGEST: Duration = Duration::from_millis(100);

/// The calling thread, and those that it starts, give way a little to the others from now on.
pub(crate) fn give_way() {
    lower(LOW, LONG);
}

/// The calling thread, and those that it starts, run when no other wants to.
pub(crate) fn come_last() {
    lower(LOWEST, LONG);
}

/// The same of a thread that computes for long.
pub(crate) fn compute_last() {
    lower(LOWEST, LONGEST);
}

/// Bytes that one call to the kernel may move: it does so in a tenth of a millisecond.
const PIECE: usize = 128 * 1024;

/// Writes all of it, in pieces. A kernel that is not preemptible (`PREEMPT_NONE`, as most servers have it) ends a call
/// before it lets another thread on, whatever their priorities: the megabytes of an image are milliseconds.
pub(crate) fn write_all(file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(PIECE).try_for_each(|piece| file.write_all(piece))
}

/// Below the process's first thread, not below whoever started this one.
fn lower(by: i32, slice: Duration) {
    let first = getpriority_process(Some(getpid()));
    if let Err(error) = first.and_then(|first| setpriority_process(None, first + by)) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
    if let Err(error) = timeslice::batch(slice) {
        tracing::debug!(%error, "a thread keeps its turns");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{self, Write},
        thread,
        time::Duration,
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

    /// How nice a thread is, and how long its slice, once each of these has been the way of a thread that the one of
    /// before started.
    fn given(ways: &[fn()]) -> (i32, Duration) {
        let Some((way, others)) = ways.split_first() else {
            return (niceness(), timeslice::slice().unwrap());
        };
        let started = || {
            way();
            given(others)
        };
        thread::scope(|scope| scope.spawn(started).join().unwrap())
    }

    #[test]
    fn only_the_calling_thread_gives_way() {
        let before = given(&[]);
        let ways: [fn(); 3] = [super::give_way, super::come_last, super::compute_last];
        let [(low, _), (lowest, long), (last, longest)] = ways.map(|way| given(&[way]));
        assert!(before.0 < low && low < lowest && lowest == last, "{low}, {lowest}, {last}");
        // A kernel before 6.12 has no slices of threads: all are 0.
        assert!(before.1 < long && long < longest || longest.is_zero(), "{long:?}, {longest:?}");
        assert_eq!(given(&[]), before);
    }

    #[test]
    fn a_thread_that_another_starts_gives_way_no_further() {
        let way: fn() = super::give_way;
        assert_eq!(given(&[way; 4]), given(&[way]));
    }
}
