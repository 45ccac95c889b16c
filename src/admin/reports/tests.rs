//! Questions about the evidence, and what is said of it.
