//! The program `flagpost`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    flagpost::cli::main()
}
