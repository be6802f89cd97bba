//! The parent's side: run the child, bound it, read what it says.

use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::CompileError;

/// Wall time of one compilation. The largest components (StarlingMonkey, Python) take 6 s alone and a minute on a busy machine.
const WALL: Duration = Duration::from_secs(600);

/// Bytes of the child's complaint that are kept.
const MAX_COMPLAINT: u64 = 4096;

pub(super) async fn compile(program: &Path, wasm: &[u8], dir: &Path) -> Result<Vec<u8>, CompileError> {
    let stem = dir.join(format!("tmp-{}-{:016x}", std::process::id(), rand::random::<u64>()));
    let (input, output) = (Temp(stem.with_extension("wasm")), Temp(stem.with_extension("cwasm")));
    // A copy: the child compiles the bytes whose digest was taken, whatever happens to the plugin's file meanwhile.
    write_private(&input.0, wasm).await.map_err(|why| CompileError::Host(format!("{}: {why}", input.0.display())))?;

    let mut command = Command::new(program);
    command.args(["plugin", "compile"]).arg(&input.0).arg(&output.0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    // The relay's environment holds secrets; the compiler needs none of it.
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "LD_LIBRARY_PATH"));
    let mut child = command.spawn().map_err(|why| CompileError::Host(format!("{}: {why}", program.display())))?;
    let stderr = child.stderr.take();
    let ended = tokio::time::timeout(WALL, async {
        let mut complaint = Vec::new();
        if let Some(mut stderr) = stderr {
            (&mut stderr).take(MAX_COMPLAINT).read_to_end(&mut complaint).await?;
            // The rest is read and dropped, so that the child never waits for us.
            tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
        }
        Ok::<_, std::io::Error>((child.wait().await?, complaint))
    });
    match ended.await {
        Err(_) => Err(CompileError::Killed(format!("it took longer than {} s", WALL.as_secs()))),
        Ok(Err(why)) => Err(CompileError::Host(why.to_string())),
        Ok(Ok((status, _))) if status.success() => {
            tokio::fs::read(&output.0).await.map_err(|why| CompileError::Host(format!("{}: {why}", output.0.display())))
        }
        Ok(Ok((status, complaint))) => Err(explain(status, String::from_utf8_lossy(&complaint).trim())),
    }
}

/// What the child's end means.
fn explain(status: ExitStatus, complaint: &str) -> CompileError {
    const SIGKILL: i32 = 9;
    const SIGXCPU: i32 = 24;
    match (status.code(), status.signal()) {
        (Some(code), _) if code == super::command::EXIT_REFUSED => CompileError::Refused(complaint.to_owned()),
        (_, Some(SIGXCPU)) => CompileError::Stopped(format!("it used more than {} s of CPU", super::command::MAX_CPU_SECONDS)),
        (_, Some(SIGKILL)) => CompileError::Killed("the system killed the compiler, most likely for its memory".to_owned()),
        // The allocator aborts when the memory limit is reached.
        (_, Some(signal)) => CompileError::Stopped(format!("the compiler died of signal {signal}; {complaint}")),
        (code, None) => CompileError::Host(format!("exit code {}; {complaint}", code.unwrap_or(-1))),
    }
}

async fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let (path, bytes) = (path.to_owned(), bytes.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        std::io::Write::write_all(&mut file, &bytes)
    })
    .await?
}

/// A file that is removed with this.
struct Temp(PathBuf);

impl Drop for Temp {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}
