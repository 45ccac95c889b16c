//! Whose turn it is on a processor, of one that computes and one that wakes up.
//!
//! Linux shares a processor by weight (`nice`), and says by the slice whose turn is next: who computes keeps its turn for
//! a slice, whatever its weight, unless somebody wakes up whose own slice is shorter (EEVDF: Stoica and Abdel-Wahab,
//! 1995; "custom slices", Linux 6.12). Who wakes up, on the other hand, takes the turn of one that has had more than its
//! share by then, however little, unless it is a batch (`SCHED_BATCH`, `sched(7)`). So work that may wait asks for both: a
//! long slice, and to be a batch. It is given no less for it.
//!
//! The kernel calls for this are in no library with a safe interface. They are here, apart from figueira, in which
//! `unsafe` is forbidden.

use std::{io, mem, time::Duration};

use libc::{SCHED_BATCH, SYS_sched_getattr, SYS_sched_setattr, c_uint, sched_attr, syscall};

/// The calling thread: `sched_setattr(2)`.
const SELF: c_uint = 0;
const NO_FLAGS: c_uint = 0;

/// Makes the calling thread a batch with this slice, and those that it starts from now on; 0 is the kernel's own. What is
/// less than 0.1 ms counts as that much, and what is more than 100 ms as that. A kernel before 6.12 says yes, and leaves
/// the slice as it was.
pub fn batch(slice: Duration) -> io::Result<()> {
    let mut attributes = get()?;
    attributes.sched_policy = SCHED_BATCH.cast_unsigned();
    attributes.sched_runtime = slice.as_nanos().try_into().unwrap_or(u64::MAX);
    // SAFETY: the kernel reads as many bytes as `size` says there, which are all of them.
    done(unsafe { syscall(SYS_sched_setattr, SELF, &raw const attributes, NO_FLAGS) })
}

/// The slice of the calling thread. A kernel before 6.12 says 0.
pub fn slice() -> io::Result<Duration> {
    Ok(Duration::from_nanos(get()?.sched_runtime))
}

fn get() -> io::Result<sched_attr> {
    let size = c_uint::try_from(mem::size_of::<sched_attr>()).map_err(io::Error::other)?;
    let mut attributes = sched_attr {
        size,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes at most `size` bytes there, of which any are a `sched_attr`.
    done(unsafe { syscall(SYS_sched_getattr, SELF, &raw mut attributes, size, NO_FLAGS) })?;
    Ok(attributes)
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    #[test]
    fn turns_are_the_threads_own_and_of_those_that_it_starts() {
        let before = super::slice().unwrap();
        let long = Duration::from_millis(20);
        let (own, started) = thread::spawn(move || {
            super::batch(long).unwrap();
            (super::get().unwrap(), thread::spawn(|| super::get().unwrap()).join().unwrap())
        })
        .join()
        .unwrap();
        let turns = |thread: &libc::sched_attr| (thread.sched_policy, thread.sched_runtime);
        assert_eq!(turns(&own), turns(&started));
        assert_eq!(own.sched_policy, libc::SCHED_BATCH.cast_unsigned());
        let own = Duration::from_nanos(own.sched_runtime);
        // A kernel that knows of none leaves it as it was.
        assert!(own == long || own == before, "{own:?}");
        assert_eq!(super::slice().unwrap(), before);
    }
}
