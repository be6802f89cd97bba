//! What Redis' answers mean. No error is an event's fault: a stream takes any text.

use flagpost_sdk::{ExportError, Tally, misconfigured, retryable};

use crate::resp::Reply;

/// Words that errors begin with and that pass: memory, a start, a script, a fail-over, a disk.
const PASSING: &[&str] =
    &["OOM", "LOADING", "BUSY", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "UNKILLABLE"];

/// The outcome of the script: everything or nothing.
pub fn of_script(reply: &Reply) -> Result<(), ExportError> {
    match reply {
        Reply::Good => Ok(()),
        Reply::Error(error) => Err(of_error(error)),
    }
}

/// The outcome of one command per event.
pub fn of_adds(replies: &[Reply]) -> Result<(), ExportError> {
    let mut tally = Tally::default();
    for (index, reply) in replies.iter().enumerate() {
        match reply {
            Reply::Good => tally.delivered(),
            Reply::Error(error) => match of_error(error) {
                // The first command says it, or none does.
                misconfigured @ ExportError::Misconfigured(_) if index == 0 => return Err(misconfigured),
                _ => tally.again(index, error),
            },
        }
    }
    tally.finish()
}

/// What one error means for a batch.
pub fn of_error(error: &str) -> ExportError {
    // A script's error is told with the script's; the first word is the server's either way.
    let word = error.trim_start_matches("ERR ").split([' ', ':']).next().unwrap_or_default();
    if PASSING.contains(&word) {
        return retryable(error);
    }
    misconfigured(match word {
        "NOAUTH" | "WRONGPASS" => format!("{error}: give the secret REDIS_PASSWORD (`as: reveal`), and `username` if there is one"),
        "NOPERM" => format!("{error}: the user needs XADD on the stream, and EVAL, EXISTS and SET with `once: true`"),
        "MOVED" => format!("{error}: a cluster; write the address of the node that has the stream"),
        _ => error.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_wait_for_the_server_or_for_the_operator() {
        for passing in [
            "OOM command not allowed when used memory > 'maxmemory'.",
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        ] {
            assert!(matches!(of_error(passing), ExportError::Retryable(_)), "{passing}");
        }
        for lasting in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "NOPERM User alice has no permissions to run the 'eval' command",
            "ERR DB index is out of range",
        ] {
            assert!(matches!(of_error(lasting), ExportError::Misconfigured(_)), "{lasting}");
        }
    }
}
