//! A recipe and its runs.
pub mod results;
