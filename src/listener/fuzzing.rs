//! What the fuzz targets reach of the listener; not part of any build but theirs.

use super::{Refusal, chunked::Chunked};

/// Where a chunked body that comes in `pieces` ends: how many bytes of the first piece on it took.
pub fn end_of_chunks(pieces: &[&[u8]]) -> Result<Option<usize>, Refusal> {
    let mut framing = Chunked::new();
    let mut before = 0;
    for piece in pieces {
        if let Some(end) = framing.advance(piece)? {
            return Ok(Some(before + end));
        }
        before += piece.len();
    }
    Ok(None)
}
