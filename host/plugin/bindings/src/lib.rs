//! flagpost-plugin-bindings
