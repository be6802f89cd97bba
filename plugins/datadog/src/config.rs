//! What the operator writes below `config:`.

use flagpost_sdk::{Diagnostic, address, complaint};

/// The secret with the API key.
pub const API_KEY: &str = "DD_API_KEY";

flagpost_sdk::config! {
    /// Datadog logs.
    pub struct Settings {
        /// The site: `datadoghq.com`, `datadoghq.eu`, `us3.datadoghq.com`, …
        pub site: String = "datadoghq.com".to_owned(),
        /// The intake's address, for a proxy or another server that speaks the API; without it, the site's.
        pub endpoint: Option<String>,
        /// The service that logs belong to.
        pub service: String = "feature-flags".to_owned(),
        /// Their source, by which Datadog chooses a pipeline.
        pub source: String = "flagpost".to_owned(),
        /// Their tags: `env:prod,team:shop`.
        pub tags: Option<String>,
        /// Their host.
        pub hostname: Option<String>,
        /// An API key; better the secret `DD_API_KEY`.
        pub api_key: Option<String>,
    }
}

impl Settings {
    /// The intake's address, when all is well.
    pub fn checked(&self) -> Result<String, Vec<Diagnostic>> {
        match &self.endpoint {
            Some(endpoint) => address("endpoint", endpoint),
            None if self.site.is_empty() || self.site.contains(['/', ':']) => {
                Err(complaint("site", "expected a site such as datadoghq.com; an address is `endpoint`"))
            }
            None => Ok(format!("https://http-intake.logs.{}", self.site)),
        }
    }
}

flagpost_sdk::schema_file!(Settings);
