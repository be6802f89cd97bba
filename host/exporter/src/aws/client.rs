//! From keys to a client, when one is first needed.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector as HttpConnector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::config::Place;
use super::outcome::{Failure, Meaning};
use crate::DEFAULT_TIMEOUT;

/// How long connecting may take: the SDK's own choice.
const CONNECT: Duration = Duration::from_millis(3_100);

/// Attempts of the SDK's own: see the module's essay.
const ATTEMPTS: u32 = 2;

/// The longest pause before its second attempt: what needs longer is delivery's business.
const PAUSE: Duration = Duration::from_millis(100);

const REGION: &str = "set `region`, or AWS_REGION in the environment";
const BUNDLE: &str = "correct AWS_CA_BUNDLE: a file with certificates in PEM form";

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// One attempt of the SDK's.
    pub(crate) attempt: Duration,
    /// All of them, credentials included.
    pub(crate) operation: Duration,
}

impl Default for Patience {
    /// For small requests; time for two attempts and for finding credentials before. A request that was given up may still be carried out, and what
    /// is sent again then makes a slow service slower: so not too short. A large one (a part of an object) needs more.
    fn default() -> Self {
        Patience { attempt: DEFAULT_TIMEOUT, operation: DEFAULT_TIMEOUT * 5 / 2 }
    }
}

/// Makes configurations for the SDK's clients.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    place: Place,
    patience: Patience,
}

impl Connector {
    /// One for that place. Nothing is read and nothing is connected to.
    pub(crate) fn new(place: Place, patience: Patience) -> Self {
        Connector { place, patience }
    }

    /// Reads the environment and the shared files, and finds the region; asks the machine (IMDS) only when nothing else says it. Credentials
    /// are looked for by the first call of a client.
    pub(crate) async fn config(&self) -> Result<SdkConfig, Failure> {
        match tokio::time::timeout(self.patience.operation, self.load()).await {
            Ok(loaded) => loaded,
            Err(_) => Err(Failure::new(Meaning::Passing, "the machine did not say in time which region it is in")),
        }
    }

    async fn load(&self) -> Result<SdkConfig, Failure> {
        let http = http_client().await?;
        let mut loader = self.loader(&http);
        // The role's service is asked at its own address, whatever stands in `endpoint`.
        if let Some(role) = &self.place.role {
            let base = loader.load().await;
            if base.region().is_none() {
                return Err(Failure::new(Meaning::Alarm(REGION), "no region is known"));
            }
            let provider = AssumeRoleProvider::builder(&role.arn).session_name(&role.session_name).configure(&base);
            let provider = role.external_id.iter().fold(provider, |provider, id| provider.external_id(id));
            loader = self.loader(&http).credentials_provider(provider.build().await);
        }
        if let Some(endpoint) = &self.place.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        match config.region() {
            Some(_) => Ok(config),
            None => Err(Failure::new(Meaning::Alarm(REGION), "no region is known")),
        }
    }

    fn loader(&self, http: &SharedHttpClient) -> ConfigLoader {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(self.patience.attempt)
            .operation_timeout(self.patience.operation)
            .build();
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(PAUSE).with_max_backoff(PAUSE);
        let loader =
            aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone()).timeout_config(timeouts).retry_config(retries);
        match &self.place.region {
            Some(region) => loader.region(Region::new(region.clone())),
            None => loader,
        }
    }
}

/// An HTTP client with its own connections: TLS by rustls and ring, proxies from the environment, authorities from the system or from
/// AWS_CA_BUNDLE. A client for each load: connections belong to the runtime that made them.
async fn http_client() -> Result<SharedHttpClient, Failure> {
    let trust = match std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) {
        None => TrustStore::default(),
        Some(path) => {
            let wrong = |why: String| Failure::new(Meaning::Alarm(BUNDLE), format!("{}: {why}", path.display()));
            let pem = tokio::fs::read(&path).await.map_err(|error| wrong(error.to_string()))?;
            let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            match certificates.map(|certificates| certificates.len()) {
                Ok(1..) => TrustStore::empty().with_pem_certificate(pem),
                Ok(0) => return Err(wrong("holds no certificate".to_owned())),
                Err(error) => return Err(wrong(error.to_string())),
            }
        }
    };
    let tls = TlsContext::builder().with_trust_store(trust).build();
    let tls = tls.map_err(|error| Failure::new(Meaning::Alarm(BUNDLE), error.to_string()))?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = HttpConnector::builder().proxy_config(ProxyConfig::from_env());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
    }))
}

/// A client that is made when it is first needed.
pub(crate) struct Lazy<C> {
    connector: Connector,
    make: fn(&SdkConfig) -> C,
    known: Mutex<Option<C>>,
}

impl<C> fmt::Debug for Lazy<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lazy").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl<C: Clone> Lazy<C> {
    /// A client of the SDK's: `make` gives it from a configuration.
    pub(crate) fn new(connector: Connector, make: fn(&SdkConfig) -> C) -> Self {
        Lazy { connector, make, known: Mutex::default() }
    }

    /// The client; a new one when there is none. Two that are made at the same time are both good.
    pub(crate) async fn get(&self) -> Result<C, Failure> {
        if let Some(client) = &*self.known.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(client.clone());
        }
        let client = (self.make)(&self.connector.config().await?);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    /// The next attempt makes another client when this failure says that an operator has to do something: what the client was made from
    /// may then be something else. When the exporter is closed, too.
    pub(crate) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
