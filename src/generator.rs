//! Turns a prompt into stored images, or into nothing at all.

pub mod settings;
