//! Reads the evidence and says what it proves.
