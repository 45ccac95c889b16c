//! Frames as they pass (RFC 9113, 4.1): their heads are read, their payloads counted off.

/// Bytes of a frame's head.
const HEAD: usize = 9;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) len: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// On DATA and HEADERS.
pub(super) const END_STREAM: u8 = 0x1;
/// On SETTINGS.
pub(super) const ACK: u8 = 0x1;
/// On HEADERS and CONTINUATION.
pub(super) const END_HEADERS: u8 = 0x4;
/// On DATA.
pub(super) const PADDED: u8 = 0x8;

/// Where in a row of frames the next byte stands.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes before the first frame: the client's preface.
    preface: usize,
    head: [u8; HEAD],
    have: usize,
    /// Of the payload.
    left: u32,
}

/// What a run of bytes brought to an end, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A frame's head, whole.
    Head(FrameHead),
    /// The last byte of that frame.
    End,
}

impl Frames {
    /// After `preface` bytes.
    pub(super) fn after(preface: usize) -> Self {
        Self { preface, head: [0; HEAD], have: 0, left: 0 }
    }

    /// True between two frames.
    pub(super) fn at_boundary(&self) -> bool {
        self.have == 0
    }

    /// Takes some of `bytes`, off which it cuts them; `None` when all are taken.
    pub(super) fn advance(&mut self, bytes: &mut &[u8]) -> Option<Came> {
        skip(bytes, &mut self.preface);
        if self.have == HEAD {
            let mut left = usize::try_from(self.left).unwrap_or(usize::MAX);
            skip(bytes, &mut left);
            self.left = u32::try_from(left).unwrap_or(u32::MAX);
            if left > 0 {
                return None;
            }
            self.have = 0;
            return Some(Came::End);
        }
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *byte;
            }
            self.have += 1;
            if self.have == HEAD {
                let [a, b, c, kind, flags, ..] = self.head;
                self.left = u32::from_be_bytes([0, a, b, c]);
                return Some(Came::Head(FrameHead { len: self.left, kind, flags }));
            }
        }
        None
    }
}

/// Cuts at most `count` bytes off, and takes them off the count.
fn skip(bytes: &mut &[u8], count: &mut usize) {
    let here = bytes.len().min(*count);
    *count -= here;
    *bytes = bytes.get(here..).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    fn come(frames: &mut Frames, mut bytes: &[u8]) -> Vec<Came> {
        std::iter::from_fn(|| frames.advance(&mut bytes)).collect()
    }

    #[test]
    fn an_empty_frame_ends_with_its_head() {
        let mut frames = Frames::after(3);
        let bytes = [b"PRI".to_vec(), frame(4, 0, b""), frame(0, 1, b"ab")].concat();
        let head = |len, kind, flags| Came::Head(FrameHead { len, kind, flags });
        assert_eq!(come(&mut frames, &bytes), [head(0, 4, 0), Came::End, head(2, 0, 1), Came::End]);
        assert!(frames.at_boundary());
    }

    proptest! {
        #[test]
        fn pieces_bring_what_the_whole_does(
            payloads in prop::collection::vec((0_u8..10, prop::collection::vec(any::<u8>(), 0..40)), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|(kind, payload)| frame(*kind, 0, payload)).collect();
            let cut = if bytes.is_empty() { 0 } else { cut.index(bytes.len()) };
            let mut frames = Frames::after(0);
            let mut pieces = come(&mut frames, &bytes[..cut]);
            pieces.extend(come(&mut frames, &bytes[cut..]));
            prop_assert_eq!(pieces, come(&mut Frames::after(0), &bytes));
            prop_assert!(frames.at_boundary());
        }
    }
}
