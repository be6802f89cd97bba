//! Names into addresses, every one of which is judged.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use tokio::sync::Semaphore;

use crate::policy::Policy;

/// Where names are looked up. A parameter, so that tests decide what a name leads to.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// All addresses of a name, best first.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// A resolver that returns only addresses that the policy lets the name lead to. The connection is made to what was judged: there is no
/// second look-up that could answer otherwise (DNS rebinding).
pub(super) struct CheckedResolver {
    policy: Arc<Policy>,
    resolver: Arc<dyn Resolver>,
    /// Hosts of the operator's proxies, in lower case.
    proxies: Arc<[String]>,
    /// One permit for each look-up until it really ends: the system's cannot be broken off, and would go on after the request that asked
    /// was given up, a thread each.
    look_ups: Arc<Semaphore>,
}

/// Look-ups of one plugin at the same time.
const MAX_LOOK_UPS: usize = 4;

impl CheckedResolver {
    pub(super) fn new(policy: Arc<Policy>, resolver: Arc<dyn Resolver>, proxies: Vec<String>) -> Self {
        CheckedResolver { policy, resolver, proxies: proxies.into(), look_ups: Arc::new(Semaphore::new(MAX_LOOK_UPS)) }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, resolver, look_ups) = (Arc::clone(&self.policy), Arc::clone(&self.resolver), Arc::clone(&self.look_ups));
        let proxies = Arc::clone(&self.proxies);
        Box::pin(async move {
            let permit = look_ups.acquire_owned().await?;
            let asked = name.as_str().to_owned();
            // A task of its own: whoever asked may go, the permit stays with the look-up.
            let looking_up = tokio::spawn(async move {
                let found = resolver.resolve(&asked).await;
                drop(permit);
                found
            });
            let found = looking_up.await.map_err(io::Error::other)??;
            let name = name.as_str();
            let mut denial = None;
            let mut good = Vec::new();
            for address in found {
                let proxy = proxies.iter().any(|proxy| proxy.eq_ignore_ascii_case(name));
                match if proxy { Ok(()) } else { policy.check_address(name, address) } {
                    Ok(()) => good.push(SocketAddr::new(address, 0)),
                    Err(why) => denial = Some(why),
                }
            }
            match denial {
                Some(why) if good.is_empty() => Err(why.into()),
                _ => Ok(Box::new(good.into_iter()) as Addrs),
            }
        })
    }
}
