//! Rules that span keys: from decoded sections to the configuration.

use std::path::{Path, PathBuf};

use flagpost_event::collect::CollectLimits;
use flagpost_settings::{Data, Node, Place, Problems, Size, decode_with};

use super::exporters::{Scope, Surroundings};
use super::file::{self, BufferType, DEFAULT_PLUGINS_DIR};
use super::flag_sets::Tenant;
use super::model::{Buffer, Collector, Config, DEFAULT_FLAG_SET, Server, Tls, Upstream};
use super::sources::{Environment, Sources};
use super::tree::is_set;
use super::values::Mode;
use super::{exporters, flag_sets, keys};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// Where a packaged service keeps its events.
const SYSTEM_PATH: &str = "/var/lib/flagpost";

/// The configuration in the tree; what is wrong goes to `problems`.
pub(super) fn assemble(root: &Node, base: &Path, sources: &Sources, problems: &mut Problems) -> Config {
    let mut file: file::File = decode_with(root, "", &keys::elsewhere, problems);
    // A root that is no map was complained about; nothing below it can be said.
    let root = if matches!(root.data, Data::Map(_)) { root.clone() } else { Node::null() };

    let evaluated_elsewhere = ["upstream", "evaluation"].iter().any(|key| is_set(root.get(key).map(|entry| &entry.value)));
    if !evaluated_elsewhere {
        refuse_retrievers(&root, "", problems);
    }
    let upstream = file.upstream.take().and_then(|written| upstream(written, &root, base, problems));
    let server = server(std::mem::take(&mut file.server), &root, base, problems);
    refuse_loop(upstream.as_ref(), &server, &root, problems);
    let buffer = buffer(&file.buffer, &root, &sources.env, problems);
    let tenants = flag_sets::flag_sets(&root, problems);
    if !evaluated_elsewhere {
        tenants.iter().for_each(|tenant| refuse_retrievers(tenant.node, &tenant.path, problems));
    }
    let authorized_keys = flag_sets::authorized(std::mem::take(&mut file.authorized_keys), &root, &tenants, problems);

    let around = Surroundings {
        max_bytes: buffer.max_bytes,
        plugins_dir: base.join(file.plugins_dir.as_deref().unwrap_or(DEFAULT_PLUGINS_DIR)),
        base: base.to_owned(),
        env: &sources.env,
        build: &sources.build,
    };
    let scopes = scopes(&root, &tenants, problems);
    let exporters = exporters::exporters(&scopes, &around, problems);
    exporters::warn_unread(&scopes, &exporters, problems);

    Config {
        server,
        upstream,
        plugins_required: file.plugins.required,
        buffer,
        collector: collector(file.collector),
        shutdown_timeout: file.shutdown_timeout.0.0,
        log_level: file.log_level,
        log_format: file.log_format,
        disable_version_header: file.disable_version_header,
        authorized_keys,
        flag_sets: tenants.into_iter().map(|tenant| tenant.flag_set).collect(),
        exporters,
    }
}

/// A retriever without somebody who evaluates would be a relay that answers every client with its default, in silence.
fn refuse_retrievers(node: &Node, path: &str, problems: &mut Problems) {
    for entry in node.entries().iter().filter(|entry| keys::is_retriever(&entry.key)) {
        let path = flagpost_settings::join(path, &entry.key);
        problems.error(path, &entry.place, "this relay does not evaluate flags itself yet", keys::TWO_WAYS);
    }
}

/// Where exporters are listed. Upstream does not look at those beside flag sets.
fn scopes<'n>(root: &'n Node, tenants: &[Tenant<'n>], problems: &mut Problems) -> Vec<Scope<'n>> {
    if tenants.is_empty() {
        return vec![Scope { path: String::new(), node: root, flag_set: DEFAULT_FLAG_SET.to_owned() }];
    }
    for key in ["exporter", "exporters"] {
        if let Some(entry) = root.get(key).filter(|entry| !matches!(entry.value.data, Data::Null)) {
            let message = "not used: with `flagSets`, each flag set has exporters of its own";
            problems.warning(key, &entry.place, message, "move them into the flag sets, or remove `flagSets`");
        }
    }
    let scope = |tenant: &Tenant<'n>| Scope { path: tenant.path.clone(), node: tenant.node, flag_set: tenant.flag_set.name.clone() };
    tenants.iter().map(scope).collect()
}

fn upstream(written: file::Upstream, root: &Node, base: &Path, problems: &mut Problems) -> Option<Upstream> {
    let Some(url) = written.url else {
        if !problems.concern("upstream.url") {
            let place = root.place_at("upstream").cloned().unwrap_or_default();
            problems.error("upstream", place, "no `url`", "write `upstream: { url: http://relay:1031 }`");
        }
        return None;
    };
    Some(Upstream {
        url: url.0,
        connect_timeout: written.connect_timeout.0,
        response_timeout: written.response_timeout.0,
        max_connections: written.max_connections as usize,
        ca_file: written.ca_file.map(|file| base.join(file)),
    })
}

/// A relay in front of itself passes each request on to itself until it runs out of connections.
fn refuse_loop(upstream: Option<&Upstream>, server: &Server, root: &Node, problems: &mut Problems) {
    let Some(url) = upstream.map(|upstream| &upstream.url) else { return };
    let here = match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost") || name.eq_ignore_ascii_case(&server.host),
        Some(url::Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified() || address.to_string() == server.host,
        Some(url::Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified() || address.to_string() == server.host,
        None => false,
    };
    let ports = [Some(server.port).filter(|_| server.unix_socket.is_none()), server.monitoring_port];
    if here && ports.contains(&url.port_or_known_default()) && url.port_or_known_default().is_some() {
        let place = root.place_at("upstream.url").cloned().unwrap_or_default();
        let fix = "give the relay behind another port, or this one another `server.port`";
        problems.error("upstream.url", place, "leads back to this relay", fix);
    }
}

fn server(written: file::Server, root: &Node, base: &Path, problems: &mut Problems) -> Server {
    let place = |key: &str| root.place_at(key).cloned().unwrap_or(Place::Nowhere);
    if let Some(Data::Scalar(mode)) = root.get("server").and_then(|server| server.value.get("mode")).map(|mode| &mode.value.data)
        && !matches!(mode.text.as_str(), "" | "http" | "unixsocket" | "lambda")
    {
        problems.warning(
            "server.mode",
            place("server.mode"),
            "not known, and taken for `http`, as upstream does",
            "use `http` or `unixsocket`",
        );
    }
    let unix_socket = written.unix_socket_path.map(PathBuf::from);
    if written.mode == Mode::UnixSocket && unix_socket.is_none() && !problems.concern("server.unixSocketPath") {
        // Upstream's words.
        let message = "unixSocketPath must be set when server mode is unixsocket";
        problems.error("server.unixSocketPath", place("server.mode"), message, "set `server.unixSocketPath: /run/flagpost.sock`");
    }
    if written.mode == Mode::Http && unix_socket.is_some() {
        let message = "no effect: the mode is `http`";
        problems.warning("server.unixSocketPath", place("server.unixSocketPath"), message, "set `server.mode: unixsocket`");
    }
    if written.monitoring_port != 0 && written.monitoring_port == written.port && written.mode == Mode::Http {
        let message = "the same port as `server.port`";
        problems.error(
            "server.monitoringPort",
            place("server.monitoringPort"),
            message,
            "remove it: `server.port` serves health and metrics, too",
        );
    }
    let tls = written.tls.and_then(|tls| match (tls.cert, tls.key) {
        (Some(cert), Some(key)) => Some(Tls { cert: base.join(cert), key: base.join(key) }),
        (cert, _) => {
            let missing = if cert.is_none() { "server.tls.cert" } else { "server.tls.key" };
            if !problems.concern(missing) {
                let message = "TLS needs both `cert` and `key`";
                problems.error(missing, place("server.tls"), message, "write `tls: { cert: tls.crt, key: tls.key }`");
            }
            None
        }
    });
    Server {
        host: written.host,
        port: written.port,
        monitoring_port: Some(written.monitoring_port).filter(|port| *port != 0),
        unix_socket: unix_socket.filter(|_| written.mode == Mode::UnixSocket),
        tls,
    }
}

fn buffer(written: &file::Buffer, root: &Node, environment: &Environment, problems: &mut Problems) -> Buffer {
    let memory = written.r#type == BufferType::Memory;
    let max_bytes = written.max_bytes.map_or(default_max_bytes(written.r#type), |size| size.0);
    if max_bytes < 64 * MIB && !memory {
        let message = format!("{max_bytes} bytes do not hold one segment");
        let place = root.place_at("buffer.maxBytes").cloned().unwrap_or_default();
        problems.error("buffer.maxBytes", place, message, "give it 256MiB or more");
    }
    let file::Ack::Disk = written.ack;
    Buffer {
        kind: written.r#type,
        path: written.path.as_deref().map_or_else(|| default_path(environment), PathBuf::from),
        max_bytes,
        min_free: written.min_free.0,
        lock_timeout: written.lock_timeout.0,
        keep_removed: written.keep_removed.0,
    }
}

/// `buffer.maxBytes` when nothing says otherwise.
pub(crate) fn default_max_bytes(kind: BufferType) -> u64 {
    match kind {
        BufferType::Disk => 4 * GIB,
        BufferType::Memory => 256 * MIB,
    }
}

fn collector(written: file::Collector) -> Collector {
    let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    Collector {
        webhook_secret: written.webhook_secret,
        max_body: bytes(written.max_body),
        max_inflated: bytes(written.max_inflated),
        limits: CollectLimits {
            max_events: written.max_events as usize,
            max_meta_bytes: bytes(written.max_meta),
            max_encoded_bytes: bytes(written.max_encoded),
            max_event_bytes: bytes(written.max_event),
            max_depth: usize::from(written.max_depth),
        },
        header_timeout: written.header_timeout.0,
        body_timeout: written.body_timeout.0,
        max_connections: written.max_connections as usize,
        max_in_flight: bytes(written.max_in_flight.unwrap_or_else(|| Size((512 * MIB).min(crate::process::memory_limit() / 4)))),
    }
}

/// `buffer.path` when the file has none: what systemd made for the service, the system's place if it is there, else the working directory's.
fn default_path(environment: &Environment) -> PathBuf {
    // systemd lists several directories with colons; the first is the service's own.
    let state = environment.get("STATE_DIRECTORY").and_then(|list| list.split(':').next()).filter(|first| !first.is_empty());
    let system = Path::new(SYSTEM_PATH);
    state.map_or_else(|| if system.is_dir() { system.to_owned() } else { PathBuf::from("./data") }, PathBuf::from)
}
