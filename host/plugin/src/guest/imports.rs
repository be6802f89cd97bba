//! The host's own interfaces: `log`, `config`, `call`, `http`, `secrets`, `metrics`, `key-value`.

use flagpost_plugin_bindings::flagpost::plugin::{call, config, events, http, key_value, log, metrics, secrets};

use super::GuestState;
use crate::metrics::Change;
use crate::state::StateError;

impl events::Host for GuestState {}

impl log::Host for GuestState {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.output.log(level, &message);
        Ok(())
    }
}

impl config::Host for GuestState {
    fn get(&mut self) -> wasmtime::Result<String> {
        Ok(self.shared.config.clone())
    }
}

impl call::Host for GuestState {
    /// Empty outside of an export.
    fn batch_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.batch.as_ref().map_or_else(String::new, ToString::to_string))
    }

    fn attempt(&mut self) -> wasmtime::Result<u32> {
        Ok(self.attempt)
    }
}

impl http::Host for GuestState {
    async fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, http::SendError>> {
        Ok(self.shared.outbound.send(request, self.deadline).await)
    }
}

impl secrets::Host for GuestState {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.shared.secrets.visible(&name).map(str::to_owned))
    }
}

impl GuestState {
    fn change(&mut self, change: Change, name: String, value: f64, labels: Vec<(String, String)>) {
        if !self.shared.metrics.change(change, name, value, labels, &self.shared.hidden) {
            self.shared.counters.metrics_dropped.one();
        }
    }

    /// What the guest is told of state that was refused; counted.
    fn refused(&self, why: StateError) -> key_value::Error {
        let text = why.to_string();
        if !matches!(why, StateError::Other(_)) {
            self.shared.denials.note(&self.shared.counters.state_refused, &text);
        }
        match why {
            StateError::Denied => key_value::Error::Denied(text),
            StateError::Quota(_) => key_value::Error::Quota(text),
            StateError::Other(_) => key_value::Error::Other(text),
        }
    }
}

impl metrics::Host for GuestState {
    fn counter_add(&mut self, name: String, value: f64, labels: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.change(Change::CounterAdd, name, value, labels);
        Ok(())
    }

    fn gauge_set(&mut self, name: String, value: f64, labels: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.change(Change::GaugeSet, name, value, labels);
        Ok(())
    }

    fn gauge_add(&mut self, name: String, value: f64, labels: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.change(Change::GaugeAdd, name, value, labels);
        Ok(())
    }
}

impl key_value::Host for GuestState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, key_value::Error>> {
        Ok(self.shared.state.get(key).await.map_err(|why| self.refused(why)))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), key_value::Error>> {
        Ok(self.shared.state.set(key, value).await.map_err(|why| self.refused(why)))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), key_value::Error>> {
        Ok(self.shared.state.delete(key).await.map_err(|why| self.refused(why)))
    }

    async fn list_keys(&mut self, prefix: String) -> wasmtime::Result<Result<Vec<String>, key_value::Error>> {
        Ok(self.shared.state.keys(prefix).await.map_err(|why| self.refused(why)))
    }
}
