//! Whatever a provider or a disk gives for an image: it is examined within its limits, and never a panic.
#![no_main]

use figueira::generator::fuzzing::examine;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    examine(bytes);
});
