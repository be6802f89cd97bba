//! flagpost-tests
