//! What the kernel says of the time of some threads: how long they ran, and how long they waited for a processor; and how
//! a thread has it look at its own.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Threads of one kind, as they come and go. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Crew(Arc<Mutex<Vec<File>>>);

/// The threads of a gateway whose times are compared.
#[derive(Clone, Debug, Default)]
pub struct Crews {
    /// The workers: those that forward.
    pub forwarding: Crew,
    /// Those on which the candidates of parallel runs are called, and the bytes of images moved.
    pub beside: Crew,
}

/// What threads have spent in all, or between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// How many they are.
    pub(crate) threads: u32,
    /// Running.
    pub(crate) ran: Duration,
    /// Ready to run, while others did.
    pub(crate) waited: Duration,
}

impl Crew {
    /// The calling thread belongs to it until it ends; not where the kernel keeps no account of it (`proc_pid_schedstat`
    /// needs `CONFIG_SCHED_INFO`).
    pub fn join(&self) {
        match File::open("/proc/thread-self/schedstat") {
            Ok(account) => self.0.lock().unwrap_or_else(PoisonError::into_inner).push(account),
            Err(error) => tracing::debug!(%error, "the time of a thread is not known"),
        }
    }

    /// What its threads have spent since each began. The account of one that has ended goes with it.
    pub(crate) fn spent(&self) -> Spent {
        let mut all = Spent::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|account| {
            let read = read(account);
            if let Some((ran, waited)) = read {
                all.threads += 1;
                all.ran += ran;
                all.waited += waited;
            }
            read.is_some()
        });
        all
    }
}

impl Spent {
    /// What was spent after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            threads: self.threads,
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

/// Has the kernel settle the calling thread's account, at which it sees whether the thread has had its turn and another
/// is due.
///
/// Otherwise only a timer's tick tells it (4 ms at `CONFIG_HZ=250`) while nothing else wakes on that processor: two busy
/// workers that share one would keep each other's clients waiting from tick to tick, more than a turn of the fair
/// scheduler lasts (`update_curr` in Linux's `kernel/sched/fair.c`). To read a thread's own processor time settles it.
pub fn settle() {
    let _ran = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
}

/// Time run and waited: the first two numbers, in nanoseconds.
fn read(account: &File) -> Option<(Duration, Duration)> {
    let mut text = [0; 96];
    let length = account.read_at(&mut text, 0).ok()?;
    let mut numbers = str::from_utf8(text.get(..length)?).ok()?.split_ascii_whitespace();
    let mut next = || Some(Duration::from_nanos(numbers.next()?.parse().ok()?));
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn a_crew_has_spent_what_its_threads_have_run_and_forgets_those_that_ended() {
        let crew = Crew::default();
        let ((ran, has_run), (end, may_end)) = (mpsc::channel(), mpsc::channel::<()>());
        let thread = thread::spawn({
            let crew = crew.clone();
            move || {
                crew.join();
                let began = Instant::now();
                while crew.spent().ran < Duration::from_millis(5) {
                    assert!(began.elapsed() < Duration::from_mins(1), "it runs, and nobody counts it");
                }
                ran.send(()).unwrap();
                assert!(may_end.recv().is_err());
            }
        });
        has_run.recv().unwrap();
        let spent = crew.spent();
        assert_eq!(spent.threads, 1);
        assert!(spent.ran >= Duration::from_millis(5));
        assert_eq!(crew.spent().since(crew.spent()).threads, 1);
        drop(end);
        thread.join().unwrap();
        let began = Instant::now();
        while crew.spent() != Spent::default() {
            assert!(began.elapsed() < Duration::from_mins(1), "it has ended, and is counted");
        }
    }
}
