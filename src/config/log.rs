//! `[log]`.

use super::{
    kind::{Choice, LEVEL},
    section::Section,
};
use crate::telemetry::log::{Access, AccessFormat, Format, Settings};

const FORMAT: Choice<Format> = Choice(&[("text", Format::Text), ("json", Format::Json)]);
const ACCESS: Choice<Access> =
    Choice(&[("all", Access::All), ("errors", Access::Errors), ("off", Access::Off)]);
const ACCESS_FORMAT: Choice<AccessFormat> =
    Choice(&[("event", AccessFormat::Event), ("combined", AccessFormat::Combined)]);

pub(super) fn read(log: &mut Section<'_>) -> Settings {
    Settings {
        level: log.or("level", LEVEL, "info".to_owned()),
        format: log.or("format", FORMAT, Format::Text),
        access: log.or("access", ACCESS, Access::All),
        access_format: log.or("access_format", ACCESS_FORMAT, AccessFormat::Event),
    }
}
