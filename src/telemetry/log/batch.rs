//! The batching writer: a bounded buffer behind a short lock, and one thread that writes it out.
//!
//! A push costs a copy and a short lock. The thread is woken by the first line of a batch and by one that fills
//! it, never by those between.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

/// How long lines may wait for company.
const LINGER: Duration = Duration::from_millis(100);
/// Bytes that are written without waiting further.
const FULL: usize = 64 * 1024;
/// Bytes that may wait for a stuck sink; lines above it are dropped.
const LIMIT: usize = 8 * 1024 * 1024;
/// How long the end of the process waits for a stuck sink.
const FAREWELL: Duration = Duration::from_secs(1);

/// Starts the writing thread.
pub(super) fn start(writer: impl Write + Send + 'static) -> io::Result<(Batch, Flusher)> {
    let batch = Batch::default();
    let (ended, end) = mpsc::channel();
    let writing = batch.clone();
    thread::Builder::new().name("log".into()).spawn(move || writing.write_out(writer, ended))?;
    Ok((batch.clone(), Flusher { batch, end }))
}

/// Where lines are put. Clones share one buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    /// Told after each write.
    written: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    lines: u64,
    ended: bool,
    /// Somebody waits for what there is.
    urgent: bool,
    /// What was there is being written.
    writing: bool,
}

impl Batch {
    /// Adds so many lines, newlines included, or drops and counts them.
    pub(super) fn push(&self, text: &[u8], lines: u64) {
        let mut pending = self.lock();
        let (before, after) = (pending.bytes.len(), pending.bytes.len() + text.len());
        if pending.ended || after > LIMIT {
            self.0.lost.fetch_add(lines, Ordering::Relaxed);
            return;
        }
        pending.bytes.extend_from_slice(text);
        pending.lines += lines;
        drop(pending);
        if before == 0 || (before < FULL && after >= FULL) {
            self.0.wake.notify_one();
        }
    }

    /// Waits until what was said is written, unless that takes longer than `patience`. Blocks.
    pub(super) fn flush(&self, patience: Duration) {
        let mut pending = self.lock();
        pending.urgent = true;
        self.0.wake.notify_one();
        let unwritten = |pending: &mut Pending| !pending.bytes.is_empty() || pending.writing;
        // Who has waited in vain has nothing else to do about it.
        drop(self.0.written.wait_timeout_while(pending, patience, unwritten));
    }

    /// Lines dropped so far.
    pub(super) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    fn write_out(&self, mut writer: impl Write, _ended: Sender<()>) {
        let mut batch = Vec::new();
        loop {
            let (lines, ended) = self.next(&mut batch);
            if writer.write_all(&batch).and_then(|()| writer.flush()).is_err() {
                self.0.lost.fetch_add(lines, Ordering::Relaxed);
            }
            self.lock().writing = false;
            self.0.written.notify_all();
            if ended {
                return;
            }
        }
    }

    /// Waits for a batch, swaps it into `batch`, and says how many lines it has and whether it is the last.
    fn next(&self, batch: &mut Vec<u8>) -> (u64, bool) {
        batch.clear();
        // A burst's memory is given back.
        batch.shrink_to(2 * FULL);
        let wake = &self.0.wake;
        let pending = wake
            .wait_while(self.lock(), |pending| pending.bytes.is_empty() && !pending.ended)
            .unwrap_or_else(PoisonError::into_inner);
        let (mut pending, _) = wake
            .wait_timeout_while(pending, LINGER, |pending| {
                pending.bytes.len() < FULL && !pending.ended && !pending.urgent
            })
            .unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut pending.bytes, batch);
        (pending.urgent, pending.writing) = (false, true);
        (mem::take(&mut pending.lines), pending.ended)
    }

    /// The buffer holds whole lines whoever panicked, so poison means nothing here.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing thread's lifetime: dropped, it writes out what is left, for as long as the sink takes at most a second.
#[derive(Debug)]
pub(super) struct Flusher {
    batch: Batch,
    end: Receiver<()>,
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.batch.lock().ended = true;
        self.batch.0.wake.notify_one();
        // Nothing is ever sent: the thread's end closes the channel.
        self.end.recv_timeout(FAREWELL).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says when a write has begun, and lets it go on when told.
    struct Gate {
        begun: Sender<usize>,
        go: Receiver<io::Result<()>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(bytes.len()).unwrap();
            self.go.recv().unwrap().map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Batch, Flusher, Receiver<usize>, Sender<io::Result<()>>) {
        let (begun, begins) = mpsc::channel();
        let (go, gone) = mpsc::channel();
        let (batch, flusher) = start(Gate { begun, go: gone }).unwrap();
        (batch, flusher, begins, go)
    }

    #[test]
    fn lines_that_come_together_are_one_write() {
        let (batch, flusher, begins, go) = gated();
        for _ in 0..10 {
            batch.push(b"0123456789\n", 1);
        }
        assert_eq!(begins.recv().unwrap(), 110);
        go.send(Ok(())).unwrap();
        drop(flusher);
        assert_eq!(batch.lost(), 0);
    }

    #[test]
    fn who_cannot_wait_finds_everything_written() {
        let (batch, _flusher, begins, go) = gated();
        batch.push(b"soon\n", 1);
        let flushing = thread::spawn({
            let batch = batch.clone();
            move || batch.flush(Duration::from_mins(1))
        });
        assert_eq!(begins.recv().unwrap(), 5);
        go.send(Ok(())).unwrap();
        flushing.join().unwrap();
        assert!(batch.lock().bytes.is_empty() && !batch.lock().writing);
        // Nothing to write is no wait.
        batch.flush(Duration::from_mins(1));
        batch.push(b"stuck\n", 1);
        batch.flush(Duration::from_millis(1));
        assert!(!batch.lock().bytes.is_empty() || batch.lock().writing, "nobody waits for ever");
        assert_eq!(begins.recv().unwrap(), 6);
        go.send(Ok(())).unwrap();
    }

    #[test]
    fn a_stuck_sink_costs_lines_and_never_time() {
        let (batch, flusher, begins, go) = gated();
        let line = vec![b'x'; FULL];
        batch.push(&line, 1);
        assert_eq!(begins.recv().unwrap(), FULL);
        for _ in 0..LIMIT / FULL + 3 {
            batch.push(&line, 1);
        }
        assert_eq!(batch.lost(), 3);
        go.send(Ok(())).unwrap();
        assert_eq!(begins.recv().unwrap(), LIMIT);
        go.send(Ok(())).unwrap();
        drop(flusher);
        batch.push(b"too late\n", 1);
        assert_eq!(batch.lost(), 4);
    }

    #[test]
    fn a_refused_batch_is_counted_line_by_line() {
        let (batch, flusher, begins, go) = gated();
        batch.push(b"one\n", 1);
        batch.push(&vec![b'x'; FULL], 1);
        begins.recv().unwrap();
        go.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        drop(flusher);
        assert_eq!(batch.lost(), 2);
    }
}
