//! JavaScript and TypeScript: packages of npm, installed into the project as its lock file says.
//!
//! QuickJS (`componentize-qjs`: four packages) is what templates use: a seventh of the size of StarlingMonkey, five times as fast on events, and all a plugin needs
//! comes from the host's own interfaces. A project that has `@bytecodealliance/jco` instead is built with it, on StarlingMonkey, with `fetch`.

use std::process::Command;

use super::tool::Tool;
use super::{BuildError, Job, read};
use crate::Language;

const NPM: Tool = Tool {
    what: "npm",
    language: Language::JavaScript,
    install: "Node.js 20 or newer: `apt-get install nodejs npm`, or https://nodejs.org/en/download",
};

const BIN: &str = "node_modules/.bin";

pub(super) fn build(job: &Job<'_>, source: &str) -> Result<Vec<u8>, BuildError> {
    install(job)?;
    componentize(job, source)
}

pub(super) fn typescript(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    install(job)?;
    NPM.run(job, Command::new(job.directory.join(BIN).join("tsc")).args(["--project", "."]))?;
    componentize(job, "build/plugin.js")
}

fn install(job: &Job<'_>) -> Result<(), BuildError> {
    if job.directory.join(BIN).is_dir() {
        return Ok(());
    }
    let how = if job.directory.join("package-lock.json").is_file() { "ci" } else { "install" };
    NPM.run(job, Command::new("npm").args([how, "--no-fund", "--no-audit", "--loglevel", "error"]))?;
    Ok(())
}

fn componentize(job: &Job<'_>, source: &str) -> Result<Vec<u8>, BuildError> {
    let output = job.scratch("component.wasm");
    let jco = job.directory.join(BIN).join("jco");
    let mut command;
    if jco.exists() {
        command = Command::new(jco);
        command.args(["componentize", source, "--wit"]).arg(job.wit).args(["--world-name", job.world, "--out"]).arg(&output);
    } else {
        command = Command::new(job.directory.join(BIN).join("componentize-qjs"));
        // `--sync`: the relay serves the synchronous component model.
        command.args(["--sync", "--wit"]).arg(job.wit).args(["--world", job.world, "--js", source, "--output"]).arg(&output);
    }
    NPM.run(job, &mut command)?;
    read(&output)
}
