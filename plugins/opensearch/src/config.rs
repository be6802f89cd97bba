//! What the operator writes below `config:`.

use flagpost_sdk::{Diagnostic, address, complaint};

/// The secret with an API key. Basic credentials need no plugin: `as: basic`.
pub const API_KEY: &str = "OPENSEARCH_API_KEY";

flagpost_sdk::config! {
    /// OpenSearch and Elasticsearch.
    pub struct Settings {
        /// The cluster's address, with a path if it is behind one: `https://search.acme.dev:9200`.
        pub endpoint: String,
        /// An index or a data stream. `{kind}` is `feature` or `tracking`, `{date}` the event's day (UTC, `2023.11.14`).
        pub index: String = "flagpost-{kind}".to_owned(),
        /// The field with the event's time as an ISO date, which a data stream needs; empty: none.
        pub timestamp_field: String = "@timestamp".to_owned(),
        /// Send `value` as text, since a field has one type in an index and flags have many: `true`, `2.5`, a string as it is.
        pub value_as_text: bool = true,
        /// An ingest pipeline.
        pub pipeline: Option<String>,
        /// An API key; better the secret `OPENSEARCH_API_KEY`, or a secret `as: basic`.
        pub api_key: Option<String>,
    }
}

impl Settings {
    /// The cluster's address, when all is well.
    pub fn checked(&self) -> Result<String, Vec<Diagnostic>> {
        let name = self.index.replace("{kind}", "feature").replace("{date}", "2023.11.14");
        let bad = |c: char| c.is_uppercase() || c.is_whitespace() || "\\/*?\"<>|,#:{}".contains(c);
        if name.is_empty() || name.starts_with(['_', '-', '+', '.']) || name.contains(bad) {
            let expected = "expected the name of an index: lower case, no spaces, none of \\ / * ? \" < > | , # :, and no placeholders but {kind} and {date}";
            return Err(complaint("index", expected));
        }
        address("endpoint", &self.endpoint)
    }
}

flagpost_sdk::schema_file!(Settings);
