//! One connection: all commands of a batch are written before the first answer is read.

use std::io::{self, BufReader, ErrorKind, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use flagpost_sdk::{ExportError, misconfigured, retryable};

use crate::config::Settings;
use crate::outcome;
use crate::request::Command;
use crate::resp::{self, Reply};

/// A connection to the server.
pub struct Connection {
    stream: TcpStream,
    address: String,
}

impl Connection {
    /// Connects.
    pub fn open(settings: &Settings) -> Result<Connection, ExportError> {
        let address = &settings.address;
        let limit = Duration::from_millis(settings.timeout_ms.into());
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::PermissionDenied => misconfigured(format!(
                "{address}: {error}: is it granted? Write `allowedSockets: [ \"tcp://{address}\" ]` into the exporter"
            )),
            _ => retryable(format!("{address}: {error}")),
        };
        let mut last = retryable(format!("{address}: the name leads nowhere"));
        for found in address.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&found, limit) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(limit)).map_err(failed)?;
                    stream.set_write_timeout(Some(limit)).map_err(failed)?;
                    return Ok(Connection { stream, address: address.clone() });
                }
                Err(error) => last = failed(error),
            }
        }
        Err(last)
    }

    /// Sends the commands and gives their answers; `hello` must be answered well before. Redis takes only small commands of those whom it does not
    /// know, and closes the connection: what it has against them would be lost with it.
    pub fn exchange(&mut self, hello: Vec<Command>, commands: Vec<Command>) -> Result<Vec<Reply>, ExportError> {
        for reply in self.pipeline(&hello)? {
            if let Reply::Error(error) = reply {
                return Err(outcome::of_error(&error));
            }
        }
        self.pipeline(&commands)
    }

    /// Writes all commands, then reads all answers.
    fn pipeline(&mut self, commands: &[Command]) -> Result<Vec<Reply>, ExportError> {
        let mut bytes = Vec::new();
        commands.iter().for_each(|command| resp::write(command, &mut bytes));
        let lost = |error: io::Error| retryable(format!("{}: {error}", self.address));
        (&self.stream).write_all(&bytes).map_err(lost)?;
        let mut input = BufReader::new(&self.stream);
        commands.iter().map(|_| resp::read(&mut input)).collect::<io::Result<_>>().map_err(lost)
    }
}
