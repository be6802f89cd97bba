//! Sockets of guests: TCP to what `allowedSockets` grants, no listening, no UDP.
//!
//! A guest resolves a name and connects to an address, in two steps that WASI keeps apart. So what a granted name resolved into is written
//! down, if the address rules let the name lead there, and a connection goes to a literal that is granted, or to an address that was written
//! down for a name with that port. There is no second look-up that could answer otherwise (DNS rebinding), and names that are not granted are
//! not looked up at all: a look-up alone carries data out.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, Host, HostResolveAddressStream, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, SocketError};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView, WasiSocketsView};

use super::state::{GuestState, Shared};
use crate::policy::{Denial, Verdict, canonical, judge};

/// Names looked up in one instance's life that are remembered.
const MAX_KNOWN: usize = 1000;

/// What one instance may connect to.
pub(super) struct Connections {
    shared: Arc<Shared>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Addresses, and the ports that are granted for the names they came from.
    ports: HashMap<IpAddr, Vec<u16>>,
    /// Look-ups under way, by the handle's number.
    names: HashMap<u32, String>,
}

impl Connections {
    /// Lets a guest connect to what is granted.
    pub(super) fn grant(shared: &Arc<Shared>, wasi: &mut WasiCtxBuilder) -> Arc<Self> {
        let connections = Arc::new(Connections { shared: Arc::clone(shared), known: Mutex::default() });
        let any = !shared.sockets.is_empty();
        // Refused attempts are told apart from things that are not there, so TCP is there and each use is checked.
        let checked = Arc::clone(&connections);
        wasi.allow_tcp(true).allow_ip_name_lookup(any).socket_addr_check(move |address, purpose| {
            let allowed = checked.may(address, purpose);
            Box::pin(async move { allowed })
        });
        connections
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, denial: &Denial) {
        self.shared.denials.note(&self.shared.counters.sockets_denied, denial);
    }

    fn may(&self, to: SocketAddr, purpose: SocketAddrUse) -> bool {
        match purpose {
            // Before a connection the system binds the wildcard address; whoever wants another address, or a port, wants to listen.
            SocketAddrUse::TcpBind => to.ip().is_unspecified() && to.port() == 0,
            SocketAddrUse::TcpConnect => {
                let address = canonical(to.ip());
                let granted = self.shared.sockets.iter().any(|rule| rule.is(to))
                    || self.known().ports.get(&address).is_some_and(|ports| ports.contains(&to.port()));
                if judge(address) == Verdict::Metadata {
                    self.refuse(&Denial::Metadata { address });
                    return false;
                }
                if !granted {
                    self.refuse(&Denial::Socket { to: to.to_string() });
                }
                granted
            }
            _ => false,
        }
    }

    /// The ports granted for a name.
    fn ports(&self, name: &str) -> Vec<u16> {
        self.shared.sockets.iter().filter(|rule| rule.names(name)).map(|rule| rule.port()).collect()
    }

    /// Whether the name, looked up by the handle of that number, may lead to the address.
    fn found(&self, handle: u32, address: IpAddr) -> bool {
        let Some(name) = self.known().names.get(&handle).cloned() else { return false };
        if let Err(denial) = self.shared.policy.check_address(&name, address) {
            self.refuse(&denial);
            return false;
        }
        let ports = self.ports(&name);
        let mut known = self.known();
        if known.ports.len() >= MAX_KNOWN {
            known.ports.clear();
        }
        let entry = known.ports.entry(canonical(address)).or_default();
        for port in ports {
            if !entry.contains(&port) {
                entry.push(port);
            }
        }
        true
    }
}

/// `wasi:sockets/ip-name-lookup` over wasmtime's, for granted names.
struct LookUp;

struct LookUpView<'a> {
    inner: WasiSocketsCtxView<'a>,
    connections: Arc<Connections>,
}

impl HasData for LookUp {
    type Data<'a> = LookUpView<'a>;
}

/// Puts the checked look-up in the place of wasmtime's.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<GuestState, LookUp>(linker, |state| {
        let connections = Arc::clone(&state.connections);
        LookUpView { inner: state.sockets(), connections }
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl network::Host for LookUpView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.inner, error)
    }

    fn network_error_code(&mut self, error: Resource<network::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.inner, error)
    }
}

impl network::HostNetwork for LookUpView<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.inner, network)
    }
}

impl Host for LookUpView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> wasmtime::Result<Resource<ResolveAddressStream>, SocketError> {
        let literal = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if !literal && self.connections.ports(&name).is_empty() {
            self.connections.refuse(&Denial::LookUp { name: crate::text::cut(&super::printable(name.as_bytes()), 100) });
            return Err(ErrorCode::AccessDenied.into());
        }
        let stream = self.inner.resolve_addresses(network, name.clone())?;
        if !literal {
            self.connections.known().names.insert(stream.rep(), name);
        }
        Ok(stream)
    }
}

impl HostResolveAddressStream for LookUpView<'_> {
    fn resolve_next_address(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Option<IpAddress>, SocketError> {
        let number = stream.rep();
        loop {
            let Some(found) = self.inner.resolve_next_address(Resource::new_borrow(number))? else { return Ok(None) };
            let address = match found {
                IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
                IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
            };
            // A literal was not looked up: whether it may be connected to is asked then.
            let literal = !self.connections.known().names.contains_key(&number);
            if literal || self.connections.found(number, address) {
                return Ok(Some(found));
            }
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.inner.subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.connections.known().names.remove(&stream.rep());
        HostResolveAddressStream::drop(&mut self.inner, stream)
    }
}
