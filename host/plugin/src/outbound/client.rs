//! The client itself.

use std::sync::Arc;
use std::time::Duration;

use super::resolver::{CheckedResolver, Resolver};
use crate::policy::Policy;

/// Idle connections kept per destination: an instance makes one request at a time, or few.
const IDLE_PER_HOST: usize = 8;

/// Below the 60 s after which common servers and load balancers close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn build(policy: Arc<Policy>, resolver: Arc<dyn Resolver>) -> Result<reqwest::Client, String> {
    // A second provider of a program that embeds us is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("flagpost/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .dns_resolver(Arc::new(CheckedResolver::new(Arc::clone(&policy), Arc::clone(&resolver))))
    };
    builder().build().or_else(|why| {
        tracing::warn!(
            error = super::describe(why),
            "the system's certificates cannot be read: https will fail for plugins; install ca-certificates"
        );
        builder().tls_certs_only([]).build().map_err(super::describe)
    })
}
