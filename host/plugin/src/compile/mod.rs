//! Compilation: the one place where a hostile file costs much CPU and memory.
//!
//! It runs in a child process of the same program, one at a time over the whole host, at low priority, under limits on its memory, CPU
//! and wall time. What the child dies of is a reason for one plugin to be invalid, never for the relay to stop.

mod child;
mod command;
mod nesting;

pub use command::compile_main;

use std::path::PathBuf;

use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::Compiler;

/// Largest file that is compiled. A Python component with its standard library has 21 MB.
pub(crate) const MAX_INPUT: u64 = 256 << 20;

/// The compiler, one at a time.
#[derive(Debug)]
pub(crate) struct CompileQueue {
    compiler: Compiler,
    one: Semaphore,
}

impl CompileError {
    /// Whether the same file may compile later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, CompileError::Killed(_) | CompileError::Host(_))
    }
}

/// A file that does not compile, or a compiler that does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CompileError {
    /// The file's fault.
    #[error("it does not compile: {0}")]
    Refused(String),
    /// It asked for more than a compilation may use.
    #[error("compiling it was stopped: {0}")]
    Stopped(String),
    /// It was ended from outside, or had no time: a busy machine does that to good files, too.
    #[error("compiling it was stopped: {0}")]
    Killed(String),
    /// Not the file's fault: worth another try.
    #[error("the compiler could not be run: {0}")]
    Host(String),
}

impl CompileQueue {
    pub(crate) fn new(compiler: Compiler) -> Self {
        CompileQueue { compiler, one: Semaphore::new(1) }
    }

    /// Compiles a component for the engine's configuration. Waits for its turn.
    pub(crate) async fn compile(&self, engine: &Engine, wasm: Vec<u8>, dir: PathBuf) -> Result<Vec<u8>, CompileError> {
        let (looked, wasm) =
            tokio::task::spawn_blocking(move || (nesting::check(&wasm), wasm)).await.map_err(|why| CompileError::Host(why.to_string()))?;
        looked?;
        let _turn = self.one.acquire().await.map_err(|_| CompileError::Host("the relay is stopping".to_owned()))?;
        match &self.compiler {
            Compiler::Child(program) => child::compile(program, &wasm, &dir).await,
            Compiler::InProcess => {
                let engine = engine.clone();
                tokio::task::spawn_blocking(move || {
                    engine.precompile_component(&wasm).map_err(|why| CompileError::Refused(format!("{why:#}")))
                })
                .await
                .map_err(|why| CompileError::Host(why.to_string()))?
            }
        }
    }
}
