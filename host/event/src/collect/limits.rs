//! What one request may carry.

/// Limits of the collector. Each is a key of the configuration; each but the event's own is a 413 before anything is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectLimits {
    /// Most events in a request.
    pub max_events: usize,
    /// Most bytes of the request's `meta`, encoded.
    pub max_meta_bytes: usize,
    /// Most bytes of all lines, enforced while encoding: `meta` is copied onto each event, so 32 MiB of body can become terabytes.
    pub max_encoded_bytes: usize,
    /// Most bytes of one line; a larger event is dropped and counted, the rest is kept.
    pub max_event_bytes: usize,
    /// How deep arrays and objects may be nested in `meta` (else 400) and in an event's JSON values (else the event is dropped).
    pub max_depth: usize,
}

impl Default for CollectLimits {
    fn default() -> Self {
        CollectLimits {
            max_events: 200_000,
            max_meta_bytes: 64 << 10,
            max_encoded_bytes: 128 << 20,
            max_event_bytes: 1 << 20,
            max_depth: 64,
        }
    }
}
