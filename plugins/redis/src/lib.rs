//! Entries into Redis streams, over a socket of its own: two functions and `allowedSockets`.
//!
//! What is promised: an event is acknowledged when Redis answered for it; how safe it is then is Redis' `appendfsync`. A batch is one script that
//! first looks for the batch's marker, adds the entries, and sets the marker: all of it or nothing, so a retry of what Redis took already adds
//! nothing while the marker lives. Every entry has the event's own `id`, by which a reader sees the rest (`once: false`, a marker that expired).

mod config;
mod connection;
mod outcome;
mod request;
mod resp;

use flagpost_sdk::{Event, ExportError, Exporter, call};

use config::Settings;
use connection::Connection;

struct Redis;

flagpost_sdk::export!(Redis);

impl Exporter for Redis {
    fn export(events: Vec<Event>) -> Result<(), ExportError> {
        let settings: Settings = flagpost_sdk::read()?;
        settings.check()?;
        // A connection for each call: batches are few, and none is ever stale.
        let mut connection = Connection::open(&settings)?;
        let hello = request::hello(&settings);
        let entries = request::entries(&events, &call::batch_id());
        let stream = request::stream(&settings, &events);
        if settings.once {
            let script = request::script(&settings, &stream, &entries, &call::batch_id());
            let replies = connection.exchange(hello, vec![script])?;
            return outcome::of_script(&replies[0]);
        }
        let adds = entries.iter().map(|entry| request::add(&settings, &stream, entry)).collect();
        let replies = connection.exchange(hello, adds)?;
        outcome::of_adds(&replies)
    }
}
