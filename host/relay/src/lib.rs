//! flagpost
