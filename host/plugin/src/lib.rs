//! flagpost-plugin
