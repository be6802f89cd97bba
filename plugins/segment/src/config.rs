//! Its keys.

use flagpost_sdk::Diagnostic;

flagpost_sdk::config! {
    /// What stands below `config:`.
    pub struct Settings {
        /// Where batches are sent. In the EU: https://events.eu1.segmentapis.com/v1/batch. RudderStack: the data plane's URL with /v1/batch.
        pub endpoint: String = "https://api.segment.io/v1/batch".to_owned(),
        /// The source's write key, where it is no secret. Better: the exporter's secret SEGMENT_WRITE_KEY.
        pub write_key: Option<String>,
        /// The name of flag evaluations as events. Tracking events have their own.
        pub event_name: String = "Feature Flag Evaluated".to_owned(),
        /// Adds the evaluation context to tracking events, as the property evaluation_context.
        pub evaluation_context: bool = false,
    }
}

impl Settings {
    pub fn check(self) -> Result<Self, Vec<Diagnostic>> {
        flagpost_sdk::address("endpoint", &self.endpoint)?;
        Ok(self)
    }
}

flagpost_sdk::schema_file!(Settings);
