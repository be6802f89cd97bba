//! Other people's readers of the relay's files: pyarrow, DuckDB and Python's csv, in an environment of their own below cargo's target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};

/// The Python with the readers, installed from PyPI when it is not there.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let requirements = programs().join("requirements.txt");
        let wanted = fs::read_to_string(&requirements).unwrap();
        let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools");
        fs::create_dir_all(&tools).unwrap();
        // Test runs share the directory.
        let lock = File::create(tools.join("readers.lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let (directory, installed) = (tools.join("readers"), tools.join("readers.installed"));
        let python = directory.join("bin/python");
        if fs::read_to_string(&installed).ok().as_deref() != Some(&wanted) {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory));
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"]).arg(&requirements));
            fs::write(&installed, wanted).unwrap();
        }
        python
    })
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("readers")
}

/// Has files read and held against the events that went in (one JSON object per line); gives the reader's summary. What is wrong is a panic.
/// `what` is `parquet`, `csv` or `plain`: see tests/readers/read.py.
pub(crate) fn read_back<S: AsRef<str>>(what: &str, directory: &Path, events: &[S]) -> String {
    let sent = directory.with_extension("sent");
    let lines: Vec<&str> = events.iter().map(AsRef::as_ref).collect();
    fs::write(&sent, lines.join("\n")).unwrap();
    run(Command::new(python()).arg(programs().join("read.py")).arg(what).arg(directory).arg(&sent))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out
}
