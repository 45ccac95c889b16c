//! Keeps the comparisons.
