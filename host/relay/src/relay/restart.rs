//! Keys that hold from the next start on: what they change is made once.

use crate::config::{BufferType, Config};

/// The keys in which the next configuration wants something else than what was started. Everything else holds at once.
pub(super) fn needs_restart(started: &Config, next: &Config) -> Vec<String> {
    let (server, wanted) = (&started.server, &next.server);
    let (buffer, kept) = (&started.buffer, &next.buffer);
    let (collector, taken) = (&started.collector, &next.collector);
    let upstream = (&started.upstream, &next.upstream);
    let keys = [
        ("server.host", server.host != wanted.host),
        ("server.port", server.port != wanted.port),
        ("server.monitoringPort", server.monitoring_port != wanted.monitoring_port),
        ("server.unixSocketPath", server.unix_socket != wanted.unix_socket),
        ("server.tls", server.tls != wanted.tls),
        ("upstream", upstream.0 != upstream.1),
        ("buffer.type", buffer.kind != kept.kind),
        ("buffer.path", buffer.path != kept.path),
        // The log in memory has its bound from the start.
        ("buffer.maxBytes", buffer.kind == BufferType::Memory && buffer.max_bytes != kept.max_bytes),
        ("collector.maxConnections", collector.max_connections != taken.max_connections),
        ("collector.maxInFlight", collector.max_in_flight != taken.max_in_flight),
        ("logFormat", started.log_format != next.log_format),
        ("disableVersionHeader", started.disable_version_header != next.disable_version_header),
    ];
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, Format, Sources, from_text};

    fn config(text: &str) -> Config {
        let sources = Sources { env: Environment::default(), ..Sources::system() };
        from_text(&format!("evaluation: none\n{text}"), Format::Yaml, Path::new("."), &sources).unwrap().config
    }

    #[test]
    fn what_is_made_once_is_named_and_nothing_else() {
        let base = config("");
        let table = [
            ("", vec![]),
            ("server: { port: 1, host: 127.0.0.1 }", vec!["server.host", "server.port"]),
            ("server: { monitoringPort: 9 }", vec!["server.monitoringPort"]),
            ("buffer: { path: elsewhere, maxBytes: 8GiB, minFree: 1MiB, keepRemoved: 1h }", vec!["buffer.path"]),
            ("buffer: { type: memory }", vec!["buffer.type"]),
            ("collector: { maxConnections: 7, maxBody: 1MiB, webhookSecret: x }", vec!["collector.maxConnections"]),
            ("upstream: { url: \"http://relay:1031\" }", vec!["upstream"]),
            ("logFormat: logfmt\nlogLevel: debug\nshutdownTimeout: 1s", vec!["logFormat"]),
            ("authorizedKeys: { evaluation: [a], admin: [b] }\nexporters: [{ kind: file, outputDir: out }]", vec![]),
        ];
        for (text, expected) in table {
            assert_eq!(needs_restart(&base, &config(text)), expected, "{text}");
        }
        let memory = |size: &str| config(&format!("buffer: {{ type: memory, maxBytes: {size} }}"));
        assert_eq!(needs_restart(&memory("64MiB"), &memory("65MiB")), ["buffer.maxBytes"]);
    }
}
