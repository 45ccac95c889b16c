//! Accepts connections and drives one at a time.
