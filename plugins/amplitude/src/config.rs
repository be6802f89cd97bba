//! Its keys.

use flagpost_sdk::Diagnostic;

flagpost_sdk::config! {
    /// What stands below `config:`.
    pub struct Settings {
        /// Where events are sent. In the EU: https://api.eu.amplitude.com/2/httpapi. The batch API: https://api2.amplitude.com/batch.
        pub endpoint: String = "https://api2.amplitude.com/2/httpapi".to_owned(),
        /// The name of flag evaluations as events. Tracking events have their own.
        pub event_name: String = "Feature Flag Evaluated".to_owned(),
        /// The project's key, where it is no secret. Better: the exporter's secret AMPLITUDE_API_KEY, with `as: reveal`.
        pub api_key: Option<String>,
        /// Adds the evaluation context to tracking events, as the property evaluation_context.
        pub evaluation_context: bool = false,
        /// Most events in a request, at most 2000. Amplitude advises 10 to customers of its free plan.
        pub events_per_request: u32 = 1000,
        /// The shortest user or device id that Amplitude should take; without it, it refuses ids of less than 5 characters.
        pub min_id_length: u32 = 1,
    }
}

impl Settings {
    pub fn check(self) -> Result<Self, Vec<Diagnostic>> {
        let mut wrong = Vec::new();
        let mut say = |path: &str, message: &str| wrong.push(Diagnostic { path: path.to_owned(), message: message.to_owned() });
        if !self.endpoint.starts_with("https://") && !self.endpoint.starts_with("http://") {
            say("endpoint", "expected an address that begins with https:// or http://");
        }
        if !(1..=2000).contains(&self.events_per_request) {
            say("eventsPerRequest", "expected 1 to 2000, which is what Amplitude takes");
        }
        if self.min_id_length == 0 {
            say("minIdLength", "expected 1 or more");
        }
        if wrong.is_empty() { Ok(self) } else { Err(wrong) }
    }
}

flagpost_sdk::schema_file!(Settings);
