//! `[log]`.

use super::{
    kind::{Choice, LEVEL},
    section::Section,
};
use crate::telemetry::log::{Access, Format, Settings};

const FORMAT: Choice<Format> = Choice(&[("text", Format::Text), ("json", Format::Json)]);
const ACCESS: Choice<Access> =
    Choice(&[("all", Access::All), ("errors", Access::Errors), ("off", Access::Off)]);

pub(super) fn read(log: &mut Section<'_>) -> Settings {
    // One way to write an access line so far, so the key is read and says nothing.
    log.or("access_format", Choice(&[("event", ())]), ());
    Settings {
        level: log.or("level", LEVEL, "info".to_owned()),
        format: log.or("format", FORMAT, Format::Text),
        access: log.or("access", ACCESS, Access::All),
    }
}
