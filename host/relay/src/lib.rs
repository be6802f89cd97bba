//! flagpost: a relay for feature-flag evaluation data.

pub mod config;
