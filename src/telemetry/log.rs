//! Log lines: one subscriber, text or JSON, written in batches off the request's path.

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A `tracing` filter directive, `info` by default.
    pub level: String,
    /// How lines look.
    pub format: Format,
    /// Which requests leave an access line.
    pub access: Access,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Which requests leave an access line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every one.
    All,
    /// Those answered 400 and above, or cut.
    Errors,
    /// None.
    Off,
}
