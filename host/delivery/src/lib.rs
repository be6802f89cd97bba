//! flagpost-delivery
