//! Reads the evidence and says what it proves.
//!
//! ```text
//! comparisons -> Collector -> Evidence + configuration = Input -> build -> Report -> render
//! ```

pub mod collect;
pub mod summary;
pub mod render;

pub use collect::{Collector, Epoch, Evidence, Input, Pair};
pub use summary::{Report, build};
