//! Its keys.

use flagpost_sdk::Diagnostic;

flagpost_sdk::config! {
    /// What stands below `config:`.
    pub struct Settings {
        /// Where events are sent. In the EU: https://api-eu.mixpanel.com/import; in India: https://api-in.mixpanel.com/import.
        pub endpoint: String = "https://api.mixpanel.com/import".to_owned(),
        /// The project's number. Needed with a service account; not with a project's token.
        pub project_id: Option<u64>,
        /// The name of flag evaluations as events. Tracking events have their own.
        pub event_name: String = "Feature Flag Evaluated".to_owned(),
        /// Adds the evaluation context to tracking events, as the property evaluation_context.
        pub evaluation_context: bool = false,
    }
}

impl Settings {
    pub fn check(self) -> Result<Self, Vec<Diagnostic>> {
        let scheme = self.endpoint.starts_with("https://") || self.endpoint.starts_with("http://");
        if scheme && !self.endpoint.contains(['?', '#']) {
            return Ok(self);
        }
        let message = "expected an address that begins with https:// or http://, without a query: that is the plugin's".into();
        Err(vec![Diagnostic { path: "endpoint".into(), message }])
    }

    /// Where requests go.
    pub fn url(&self) -> String {
        match self.project_id {
            Some(project) => format!("{}?strict=1&project_id={project}", self.endpoint),
            None => format!("{}?strict=1", self.endpoint),
        }
    }
}

flagpost_sdk::schema_file!(Settings);
