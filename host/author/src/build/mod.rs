//! A project to a component, by the language's own toolchain.

mod c;
mod component;
mod error;
mod go;
mod javascript;
mod python;
mod rust;
mod tool;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub use error::BuildError;

use crate::{Language, World, contract};

/// Below a project: what is generated and may be removed.
const SCRATCH: &str = "build";

/// What is to be built, and how.
pub struct Options<'a> {
    /// The project's directory.
    pub project: &'a Path,
    /// World of its `wit` directory; `None`: the one in its `world.txt`, or `plugin`.
    pub world: Option<&'a str>,
    /// Where the component goes; `None`: into the project, under its name.
    pub output: Option<&'a Path>,
    /// Told of every command before it runs.
    pub say: &'a dyn Fn(&str),
}

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The project's language.
    pub language: Language,
}

/// Builds a project.
///
/// # Errors
///
/// It is no project, a tool is missing, a tool fails, or what came out is no component.
pub fn build(options: &Options<'_>) -> Result<Built, BuildError> {
    let directory = options.project.canonicalize().map_err(|source| BuildError::Io { path: options.project.to_owned(), source })?;
    let language = Language::of(&directory).ok_or_else(|| BuildError::NoProject { path: directory.clone() })?;
    let name = directory.file_name().map_or_else(|| "plugin".to_owned(), |name| name.to_string_lossy().into_owned());
    let output = match options.output {
        Some(path) => std::path::absolute(path).map_err(|source| BuildError::Io { path: path.to_owned(), source })?,
        None => directory.join(format!("{name}.wasm")),
    };
    let scratch = directory.join(SCRATCH);
    fs::create_dir_all(&scratch).map_err(|source| BuildError::Io { path: scratch.clone(), source })?;
    let wit = Wit::of(&directory)?;
    let world = options.world.map_or_else(|| world_of(&directory), |world| Ok(world.to_owned()))?;
    let job = Job { directory: &directory, scratch: &scratch, wit: wit.path(), world: &world, say: options.say };
    let bytes = match language {
        Language::Rust => rust::build(&job),
        Language::JavaScript => javascript::build(&job, "plugin.js"),
        Language::TypeScript => javascript::typescript(&job),
        Language::Python => python::build(&job),
        Language::Go => go::build(&job),
        Language::C => c::build(&job),
    }?;
    let bytes = component::signed(&bytes, language)?;
    write(&output, &bytes)?;
    Ok(Built { path: output, size: bytes.len() as u64, language })
}

/// One build.
struct Job<'a> {
    /// The project, absolute.
    directory: &'a Path,
    /// For what is generated.
    scratch: &'a Path,
    /// The contract's directory.
    wit: &'a Path,
    world: &'a str,
    say: &'a dyn Fn(&str),
}

impl Job<'_> {
    fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }
}

/// The project's own `wit` directory, or, without one, the contract that this program brings.
enum Wit {
    Own(PathBuf),
    Brought(TempDir),
}

impl Wit {
    fn of(directory: &Path) -> Result<Wit, BuildError> {
        let own = directory.join("wit");
        if own.is_dir() {
            return Ok(Wit::Own(own));
        }
        let brought = tempfile::tempdir().map_err(|source| BuildError::Io { path: std::env::temp_dir(), source })?;
        write(&brought.path().join("flagpost.wit"), contract::WIT.as_bytes())?;
        Ok(Wit::Brought(brought))
    }

    fn path(&self) -> &Path {
        match self {
            Wit::Own(path) => path,
            Wit::Brought(directory) => directory.path(),
        }
    }
}

/// The world that the project was made for.
fn world_of(directory: &Path) -> Result<String, BuildError> {
    let path = directory.join(crate::project::WORLD_FILE);
    if !path.is_file() {
        return Ok(World::default().to_string());
    }
    Ok(String::from_utf8_lossy(&read(&path)?).trim().to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|source| BuildError::Io { path: path.to_owned(), source })
}

/// Writes a file that appears whole: a relay may be watching the directory.
fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let io = |source| BuildError::Io { path: path.to_owned(), source };
    let part = path.with_extension("part");
    fs::write(&part, bytes).map_err(io)?;
    fs::rename(&part, path).map_err(io)
}
