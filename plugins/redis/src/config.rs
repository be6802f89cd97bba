//! What the operator writes below `config:`.

use flagpost_sdk::{ExportError, misconfigured};

/// The secret with the password; `as: reveal`, because the relay puts nothing into what a socket carries.
pub const PASSWORD: &str = "REDIS_PASSWORD";

flagpost_sdk::config! {
    /// Redis streams.
    pub struct Settings {
        /// The server: `redis.acme.dev:6379`. No TLS.
        pub address: String,
        /// The stream's key; `{kind}` is `feature` or `tracking`.
        pub stream: String = "flagpost:{kind}".to_owned(),
        /// The user of an access list.
        pub username: Option<String>,
        /// The password; better the secret `REDIS_PASSWORD` (`as: reveal`).
        pub password: Option<String>,
        /// The database's number.
        pub database: u32 = 0,
        /// About how many entries the stream keeps; 0: all.
        pub max_length: u64 = 0,
        /// Add a batch by a script that knows what it added: a retry adds nothing twice. `false`: plain commands, for users who may run no scripts.
        pub once: bool = true,
        /// Seconds for which Redis remembers a batch.
        pub remember_seconds: u32 = 86_400,
        /// Milliseconds for a connection, and for each answer.
        pub timeout_ms: u32 = 4000,
    }
}

impl Settings {
    /// The relay does not check the configuration of a plugin of two functions.
    pub fn check(&self) -> Result<(), ExportError> {
        let port = self.address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok())?);
        if port.is_none() {
            return Err(misconfigured(format!("config.address: expected host:port, found `{}`", self.address)));
        }
        if self.stream.is_empty() || self.timeout_ms == 0 || self.remember_seconds == 0 {
            return Err(misconfigured("config: `stream` is empty, or `timeoutMs` or `rememberSeconds` is 0"));
        }
        Ok(())
    }
}

flagpost_sdk::schema_file!(Settings);
