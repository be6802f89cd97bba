//! C: bindings that we bring, a core module by `zig cc` (or `$CC`), made a component here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::component::{contract_error, of_module};
use super::tool::{Tool, in_venv, make_venv};
use super::{BuildError, Job, read, write};
use crate::{Language, World};

const CC: Tool = Tool {
    what: "a C compiler for wasm32-wasi",
    language: Language::C,
    install: "`pip install ziglang==0.17.0`, or set CC to another one: CC=\"clang --target=wasm32-wasi\"",
};

/// Stack of an instance, in bytes: zig's default is 16 MiB, which every instance would begin with.
const STACK: u32 = 256 << 10;

/// What is compiled with every plugin: the contract as `wit-bindgen c` wrote it (`scripts/bindings.sh`), and what C lacks.
const SDK: [(&str, &str); 2] = [
    ("flagpost.h", include_str!("../../../../plugins/sdk/c/flagpost.h")),
    ("flagpost.c", include_str!("../../../../plugins/sdk/c/flagpost.c")),
];

/// The bindings of a world; both go by the same names.
const BINDINGS: [(World, [(&str, &str); 2]); 2] = [
    (
        World::Plugin,
        [
            ("plugin.h", include_str!("../../../../plugins/sdk/c/plugin.h")),
            ("plugin.c", include_str!("../../../../plugins/sdk/c/plugin.c")),
        ],
    ),
    (
        World::Managed,
        [
            ("plugin.h", include_str!("../../../../plugins/sdk/c/managed/plugin.h")),
            ("plugin.c", include_str!("../../../../plugins/sdk/c/managed/plugin.c")),
        ],
    ),
];

pub(super) fn build(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let Some((world, bindings)) = BINDINGS.iter().find(|(world, _)| world.name() == job.world) else {
        let worlds = World::ALL.map(World::name).join("` and `");
        let reason = format!("the C bindings that flagpost brings are of the worlds `{worlds}`; for another one run `wit-bindgen c`");
        return Err(contract_error(job, reason));
    };
    let sdk = job.scratch("flagpost");
    fs::create_dir_all(&sdk).map_err(|source| BuildError::Io { path: sdk.clone(), source })?;
    for (name, text) in SDK.iter().chain(bindings) {
        write(&sdk.join(name), text.as_bytes())?;
    }
    let output = job.scratch("core.wasm");
    let mut command = compiler(job)?;
    command.args(["-mexec-model=reactor", "-O2", "-s", "-Wall", "-Wextra"]).arg(format!("-Wl,-z,stack-size={STACK}"));
    if *world == World::Managed {
        command.arg("-DFLAGPOST_MANAGED");
    }
    command.arg("-I").arg(&sdk).arg("-o").arg(&output).args(sources(job.directory)?).args(sources(&sdk)?);
    CC.run(job, &mut command)?;
    of_module(job, read(&output)?)
}

/// `$CC` when it names the target, else zig from the project's virtual environment, else the one on the path.
fn compiler(job: &Job<'_>) -> Result<Command, BuildError> {
    if let Some(cc) = std::env::var("CC").ok().filter(|cc| cc.contains("wasm32")) {
        let mut words = cc.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or("cc"));
        command.args(words);
        return Ok(command);
    }
    let own = in_venv(job, "python");
    let mut command;
    if !own.exists() && Tool::answers(Command::new("zig").arg("version")) {
        command = Command::new("zig");
    } else {
        if !own.exists() {
            make_venv(job, Language::C)?;
        }
        command = Command::new(own);
        command.args(["-m", "ziglang"]);
    }
    command.args(["cc", "-target", "wasm32-wasi"]);
    Ok(command)
}

/// The C files of a directory.
fn sources(directory: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let io = |source| BuildError::Io { path: directory.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}
