//! Its keys.

use flagpost_sdk::Diagnostic;

flagpost_sdk::config! {
    /// What stands below `config:`.
    pub struct Settings {
        /// Where batches are sent. In the EU: https://eu.i.posthog.com/batch/. Your own PostHog: its address with /batch/.
        pub endpoint: String = "https://us.i.posthog.com/batch/".to_owned(),
        /// The project's key, where it is no secret. Better: the exporter's secret POSTHOG_API_KEY, with `as: reveal`.
        pub api_key: Option<String>,
        /// Adds the evaluation context to tracking events, as the property evaluation_context.
        pub evaluation_context: bool = false,
        /// Whether events of known users make persons in PostHog. Those of anonymous users never do.
        pub person_profiles: bool = true,
    }
}

impl Settings {
    pub fn check(self) -> Result<Self, Vec<Diagnostic>> {
        flagpost_sdk::address("endpoint", &self.endpoint)?;
        Ok(self)
    }
}

flagpost_sdk::schema_file!(Settings);
