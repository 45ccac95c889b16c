//! The tee is transparent, whatever passes through it, and honest about what it kept.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use http::HeaderMap;
use proptest::prelude::*;

use super::*;

/// A body that plays a script: data, trailers, pauses, a failure.
#[derive(Clone, Debug)]
struct Script {
    steps: VecDeque<Step>,
    hint: Hint,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Data(Vec<u8>),
    Trailers(u8),
    Pause,
    Fail,
}

/// What a body tells of itself beforehand.
#[derive(Clone, Copy, Debug)]
enum Hint {
    Silent,
    Length,
    End,
}

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(match self.get_mut().steps.pop_front() {
            None => None,
            Some(Step::Data(data)) => Some(Ok(Frame::data(data.into()))),
            Some(Step::Trailers(value)) => Some(Ok(Frame::trailers(HeaderMap::from_iter([(
                http::header::ETAG,
                u16::from(value).into(),
            )])))),
            Some(Step::Fail) => Some(Err("reset")),
            Some(Step::Pause) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.hint, Hint::End) && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.hint {
            Hint::Length => SizeHint::with_exact(
                self.steps
                    .iter()
                    .map(|step| if let Step::Data(data) = step { data.len() as u64 } else { 0 })
                    .sum(),
            ),
            Hint::Silent | Hint::End => SizeHint::default(),
        }
    }
}

/// Everything that a reader can see of a body, up to its `polls`th poll.
fn read<B: Body<Data = Bytes, Error = &'static str> + Unpin>(mut body: B, polls: usize) -> Vec<String> {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    (0..polls)
        .map(|_| {
            let before = format!("{} {:?}", body.is_end_stream(), body.size_hint());
            format!("{before} {:?}", Pin::new(&mut body).poll_frame(&mut cx))
        })
        .collect()
}

fn teed<B: Body>(body: B, capture: Capture) -> (Tee<B>, Arc<Mutex<Vec<Captured>>>) {
    let ended = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ended);
    let on_end = Box::new(move |captured| seen.lock().unwrap_or_else(PoisonError::into_inner).push(captured));
    (Tee::new(body, capture, on_end), ended)
}

fn ended(ended: &Mutex<Vec<Captured>>) -> Captured {
    let mut ended = ended.lock().unwrap();
    assert_eq!(ended.len(), 1, "a body ends once");
    ended.remove(0)
}

fn script(steps: impl IntoIterator<Item = Step>, hint: Hint) -> Script {
    Script { steps: steps.into_iter().collect(), hint }
}

fn any_script() -> impl Strategy<Value = Script> {
    let step = prop_oneof![
        6 => prop_oneof![0..64_usize, 8000..9000_usize].prop_map(|length| Step::Data(vec![b'x'; length])),
        2 => Just(Step::Pause),
        1 => any::<u8>().prop_map(Step::Trailers),
        1 => Just(Step::Fail),
    ];
    let hint = prop_oneof![Just(Hint::Silent), Just(Hint::Length), Just(Hint::End)];
    (prop::collection::vec(step, 0..12), hint).prop_map(|(steps, hint)| script(steps, hint))
}

proptest! {
    #[test]
    fn a_reader_cannot_tell(body in any_script(), polls in 0..20_usize, limit in 0..20_000_usize, memory in 0..20_000_usize) {
        let (tee, ended_with) = teed(body.clone(), Capture::new(limit, Memory::new(memory)));
        prop_assert_eq!(read(tee, polls), read(body, polls));
        prop_assert_eq!(ended_with.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_is_kept_is_what_passed(sizes in prop::collection::vec(0..20_000_usize, 0..12), limit in 0..120_000_usize) {
        let pieces: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, size)| vec![u8::try_from(n).unwrap(); *size]).collect();
        let whole = pieces.concat();
        let memory = Memory::new(1 << 20);
        let body = script(pieces.into_iter().map(Step::Data), Hint::Silent);
        let (tee, ended_with) = teed(body, Capture::new(limit, memory.clone()));
        read(tee, sizes.len() + 1);
        let captured = ended(&ended_with);
        prop_assert_eq!(captured.end, End::Whole);
        prop_assert_eq!(captured.bytes, whole.len() as u64);
        match captured.content {
            Ok(content) => prop_assert_eq!(content.into_bytes().0, whole),
            Err(missing) => {
                prop_assert_eq!(missing, Missing::TooLarge);
                prop_assert!(whole.len() > limit);
            }
        }
        prop_assert_eq!(memory.0.available_permits(), (1 << 20) / PAGE);
    }
}

#[test]
fn a_body_that_is_let_go_was_cut_and_one_that_fails_was_broken() {
    let steps = [Step::Data(b"half".to_vec()), Step::Data(b"half".to_vec())];
    let (tee, seen) = teed(script(steps.clone(), Hint::Silent), Capture::new(100, Memory::new(PAGE)));
    read(tee, 1);
    let captured = ended(&seen);
    assert_eq!((captured.end, captured.bytes), (End::Cut, 4));

    let (tee, seen) = teed(
        script(steps.into_iter().chain([Step::Fail]), Hint::Silent),
        Capture::new(100, Memory::new(PAGE)),
    );
    read(tee, 3);
    assert_eq!(ended(&seen).end, End::Broken);
}

#[test]
fn a_reader_that_knows_the_length_need_not_ask_for_the_end() {
    for hint in [Hint::Length, Hint::End] {
        let (tee, seen) =
            teed(script([Step::Data(b"all".to_vec())], hint), Capture::new(100, Memory::new(PAGE)));
        read(tee, 1);
        assert_eq!(ended(&seen).end, End::Whole, "{hint:?}");
    }
    let (_tee, seen) = teed(http_body_util::Empty::<Bytes>::new(), Capture::new(100, Memory::new(PAGE)));
    assert_eq!(ended(&seen).end, End::Whole, "an empty body has ended before it is read");
}

#[test]
fn memory_is_lent_to_all_captures_together_and_comes_back() {
    let memory = Memory::new(2 * PAGE);
    let body = || script([Step::Data(vec![1; PAGE + 1])], Hint::Silent);
    let (first, first_seen) = teed(body(), Capture::new(1 << 20, memory.clone()));
    let (second, second_seen) = teed(body(), Capture::new(1 << 20, memory.clone()));
    read(first, 2);
    read(second, 2);
    let (bytes, lease) = ended(&first_seen).content.unwrap().into_bytes();
    assert_eq!(bytes.len(), PAGE + 1);
    assert_eq!(ended(&second_seen).content.unwrap_err(), Missing::Crowded);
    assert_eq!(memory.0.available_permits(), 0);
    drop(lease);
    assert_eq!(memory.0.available_permits(), 2);
}

#[test]
fn counting_keeps_nothing() {
    let (tee, seen) =
        teed(script([Step::Data(vec![1; 9000])], Hint::Silent), Capture::counting(Memory::new(0)));
    read(tee, 2);
    let captured = ended(&seen);
    assert_eq!((captured.bytes, captured.content.unwrap_err()), (9000, Missing::Unwanted));
}

/// hyper asks for `Send`; a worker keeps bodies across awaits.
#[test]
fn a_tee_is_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Tee<http_body_util::Full<Bytes>>>();
    check::<Tee<http_body_util::combinators::BoxBody<Bytes, Infallible>>>();
}

#[test]
fn who_is_waited_for_is_told_apart() {
    let unit = Duration::from_millis(10);
    let steps = [Step::Data(b"a".to_vec()), Step::Pause, Step::Data(b"b".to_vec())];
    let began = Instant::now();
    let (mut tee, seen) = teed(script(steps, Hint::Silent), Capture::new(100, Memory::new(PAGE)));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    // What is asked for after so long comes, comes not, or comes; and then there is no more.
    for after in [1, 2, 4, 8] {
        std::thread::sleep(unit * after);
        drop(Pin::new(&mut tee).poll_frame(&mut cx));
    }
    let Waited { source, reader } = ended(&seen).waited;
    assert!(reader >= unit * (1 + 2 + 8) && source >= unit * 4, "{source:?} {reader:?}");
    assert!(source + reader <= began.elapsed());
}
