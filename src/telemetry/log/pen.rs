//! What a thread writes its lines with: the room for a line, a clock, and the lines that wait to be handed over together.

use std::cell::RefCell;

use jiff::Timestamp;

use super::{
    batch::Batch,
    clock::{Clock, Reading},
};

/// Bytes that a thread gathers at most.
const MUCH: usize = 16 * 1024;

thread_local! {
    static PEN: RefCell<Pen> = const { RefCell::new(Pen::new()) };
}

/// What a thread writes its lines with.
struct Pen {
    text: String,
    lines: u64,
    clock: Clock,
    /// Where they go together, when the thread has nothing else to do.
    gathers: Gathers,
}

enum Gathers {
    /// Each line goes by itself.
    Nothing,
    /// The first is to come.
    Soon,
    For(Batch),
}

impl Pen {
    const fn new() -> Self {
        Self { text: String::new(), lines: 0, clock: Clock::new(), gathers: Gathers::Nothing }
    }

    fn hand_over(&mut self, batch: &Batch) {
        batch.push(self.text.as_bytes(), self.lines);
        self.text.clear();
        self.lines = 0;
    }

    fn hand_over_gathered(&mut self) {
        if self.lines > 0
            && let Gathers::For(batch) = &self.gathers
        {
            let batch = batch.clone();
            self.hand_over(&batch);
        }
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        self.hand_over_gathered();
    }
}

/// Writes one line with this thread's pen.
pub(super) fn write(batch: &Batch, line: impl FnOnce(&mut String, Reading<'_>)) {
    PEN.with(|pen| {
        // Borrowed already only where formatting one line says another: that one is not worth a line.
        let Ok(mut pen) = pen.try_borrow_mut() else { return };
        let Pen { text, lines, clock, gathers } = &mut *pen;
        line(text, clock.read(Timestamp::now()));
        *lines += 1;
        if let Gathers::Soon = gathers {
            *gathers = Gathers::For(batch.clone());
        }
        if matches!(gathers, Gathers::Nothing) || text.len() >= MUCH {
            pen.hand_over(batch);
        }
    });
}

/// This thread's lines are gathered from now on, until there are many or it calls [`hand_over`], as it has to whenever it
/// is about to wait: what threads share costs them less the less often they touch it.
pub fn gather() {
    PEN.with(|pen| {
        if let Ok(mut pen) = pen.try_borrow_mut() {
            pen.gathers = Gathers::Soon;
        }
    });
}

/// Has what this thread [gathered](gather) written.
pub fn hand_over() {
    PEN.with(|pen| {
        if let Ok(mut pen) = pen.try_borrow_mut() {
            pen.hand_over_gathered();
        }
    });
}

#[cfg(test)]
mod tests {
    use std::{io, sync::mpsc, thread};

    use super::{super::batch, *};

    struct Told(mpsc::Sender<Vec<u8>>);

    impl io::Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_gathered_is_handed_over_when_asked_when_it_is_much_and_at_the_end() {
        let (tell, told) = mpsc::channel();
        let (batch, _flusher) = batch::start(Told(tell)).unwrap();
        let say = {
            let batch = batch.clone();
            move |text: &str| write(&batch, |line, _| line.push_str(text))
        };
        let gathering = {
            let say = say.clone();
            thread::spawn(move || {
                gather();
                say("one ");
                say("two ");
                assert!(told.try_recv().is_err());
                hand_over();
                assert_eq!(told.recv().unwrap(), b"one two ");
                say(&"x".repeat(MUCH));
                assert_eq!(told.recv().unwrap().len(), MUCH);
                say("last");
                told
            })
        };
        let told = gathering.join().unwrap();
        assert_eq!(told.recv().unwrap(), b"last");
        say("by itself");
        assert_eq!(told.recv().unwrap(), b"by itself");
    }
}
