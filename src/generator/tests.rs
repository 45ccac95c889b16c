//! Whole generations, in a folder of their own.
