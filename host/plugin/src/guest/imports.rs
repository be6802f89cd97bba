//! The host's own interfaces: `log`, `config`, `call`, `http`.

use flagpost_plugin_bindings::flagpost::plugin::{call, config, events, http, log};

use super::GuestState;

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
