//! The child's side: the hidden command `flagpost plugin compile`.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

/// The input is no component that this engine compiles; the reason is on stderr.
pub(super) const EXIT_REFUSED: i32 = 3;

/// CPU seconds of one compilation, over all its threads. The largest known components take 14 s.
pub(super) const MAX_CPU_SECONDS: u64 = 600;

/// Address space of one compilation, in bytes. The largest known components reach 430 MB resident; threads and arenas reserve several
/// times that.
const MAX_ADDRESS_SPACE: u64 = 8 << 30;

/// Steps below the priority of the relay.
const NICENESS: i32 = 10;

/// The body of the hidden command `flagpost plugin compile <in.wasm> <out.cwasm>`; `args` are the two paths.
///
/// Exit codes: 0 compiled, 3 the input is refused (reason on stderr), 1 anything else.
pub fn compile_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    let [input, output] = args.as_slice() else {
        return fail(1, "expected two arguments: <in.wasm> <out.cwasm>");
    };
    if let Err(why) = lower_self() {
        return fail(1, &format!("cannot set the limits of a compilation: {why}"));
    }
    match compile(Path::new(input), Path::new(output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Refused(why)) => fail(EXIT_REFUSED, &why),
        Err(CommandError::Io(why)) => fail(1, &why),
    }
}

enum CommandError {
    Refused(String),
    Io(String),
}

fn compile(input: &Path, output: &Path) -> Result<(), CommandError> {
    let io = |path: &Path, why: std::io::Error| CommandError::Io(format!("{}: {why}", path.display()));
    let wasm = fs::read(input).map_err(|why| io(input, why))?;
    let engine = crate::engine::compiler().map_err(|why| CommandError::Io(format!("{why:#}")))?;
    let artefact = engine.precompile_component(&wasm).map_err(|why| CommandError::Refused(format!("{why:#}")))?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(output).map_err(|why| io(output, why))?;
    file.write_all(&artefact).map_err(|why| io(output, why))
}

/// Limits on itself: nothing else has to be trusted to set them.
fn lower_self() -> rustix::io::Result<()> {
    nice(NICENESS)?;
    // When memory runs out, this is what the system kills first. Where there is no such file, it chooses by itself.
    drop(fs::write("/proc/self/oom_score_adj", "1000"));
    lower(Resource::As, MAX_ADDRESS_SPACE)?;
    lower(Resource::Cpu, MAX_CPU_SECONDS)?;
    lower(Resource::Core, 0)
}

fn lower(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let now = getrlimit(resource);
    let to = now.maximum.map_or(to, |maximum| maximum.min(to));
    setrlimit(resource, Rlimit { current: Some(to), maximum: now.maximum })
}

#[expect(clippy::print_stderr, reason = "stderr is what the parent reads")]
fn fail(code: i32, why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
