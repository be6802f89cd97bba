//! What the operator writes below `config:`. Credentials are a secret `as: basic`.

use std::collections::BTreeMap;

use flagpost_sdk::{Diagnostic, address, complaint};

flagpost_sdk::config! {
    /// ClickHouse.
    pub struct Settings {
        /// The server's HTTP address: `https://clickhouse.acme.dev:8443`.
        pub endpoint: String,
        /// The database.
        pub database: String = "default".to_owned(),
        /// The table; `{kind}` is `feature` or `tracking`.
        pub table: String = "flagpost_{kind}".to_owned(),
        /// Send the batch's id as `insert_deduplication_token`, which servers from 22.2 on know.
        pub deduplicate: bool = true,
        /// Pass over what the table has no column for, instead of waiting until it has.
        pub skip_unknown_columns: bool = false,
        /// More settings of the insert: `max_partitions_per_insert_block: "1000"`.
        pub settings: Option<BTreeMap<String, String>>,
    }
}

impl Settings {
    /// The server's address, when all is well.
    pub fn checked(&self) -> Result<String, Vec<Diagnostic>> {
        let name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        for (path, text) in [("database", &self.database), ("table", &self.table)] {
            if !name(&text.replace("{kind}", "feature")) {
                return Err(complaint(path, "expected a name of letters, digits and underscores"));
            }
        }
        for (key, value) in self.settings.iter().flatten() {
            if !name(key) || !value.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
                return Err(complaint("settings", "expected names of settings, with values of letters, digits, `_`, `-` and `.`"));
            }
        }
        address("endpoint", &self.endpoint)
    }
}

flagpost_sdk::schema_file!(Settings);
