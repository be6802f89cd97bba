//! What the operator writes below `config:`. Credentials are a secret `as: basic`.

use std::collections::BTreeMap;

use flagpost_sdk::{Diagnostic, address, complaint};

flagpost_sdk::config! {
    /// Grafana Loki.
    pub struct Settings {
        /// Loki's address, without `/loki/api/v1/push`.
        pub endpoint: String,
        /// The stream's labels, beside `kind` (`feature` or `tracking`). Keep them few: every combination is a stream.
        pub labels: BTreeMap<String, String> = BTreeMap::from([("job".to_owned(), "flagpost".to_owned())]),
        /// The tenant (`X-Scope-OrgID`).
        pub tenant: Option<String>,
    }
}

impl Settings {
    /// Loki's address, when all is well.
    pub fn checked(&self) -> Result<String, Vec<Diagnostic>> {
        for name in self.labels.keys() {
            let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') || name == "kind" {
                return Err(complaint(
                    "labels",
                    format!("`{name}`: expected letters, digits and underscores, and another name than `kind`"),
                ));
            }
        }
        address("endpoint", &self.endpoint)
    }
}

flagpost_sdk::schema_file!(Settings);
