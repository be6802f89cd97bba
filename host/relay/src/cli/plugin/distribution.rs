//! `flagpost plugin push` and `flagpost plugin pull`: components into registries and out of them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io::Write as _};

use anyhow::{Context, Result, anyhow, bail};
use flagpost_exporter::Secret;
use flagpost_plugin::distribution::{self, Push};
use flagpost_plugin::{ImageReference, RegistryAccess};

use super::inspect;
use crate::cli::{chain, complain, say};

/// Credentials come from the environment: what stands on a command line is everybody's to read.
const USERNAME: &str = "FLAGPOST_REGISTRY_USERNAME";
const PASSWORD: &str = "FLAGPOST_REGISTRY_PASSWORD";

/// How the registry is asked.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Speak HTTP without TLS. A registry on this machine is spoken to in that way by itself, unless --ca is given.
    #[arg(long)]
    plain_http: bool,
    /// Certificates in PEM that are trusted beside the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Arguments {
    fn access(&self) -> Result<RegistryAccess> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let (username, password) = (variable(USERNAME), variable(PASSWORD).map(Secret::new));
        if username.is_some() != password.is_some() {
            bail!("one of {USERNAME} and {PASSWORD} alone asks for nothing; set both, or none");
        }
        Ok(RegistryAccess { username, password, plain_http: self.plain_http, ca: self.ca.clone() })
    }
}

/// Only plugins are pushed: what no relay runs is found out here.
pub(super) fn push(file: &Path, reference: &str, arguments: &Arguments) -> ExitCode {
    ended(|| {
        let wanted = read(reference)?;
        if wanted.digest().is_some() {
            bail!("{wanted}: the digest follows from what is pushed; leave it out");
        }
        let component = flagpost_author::inspect(file).map_err(|error| anyhow!(chain(&error)))?;
        if component.interface.is_none() {
            bail!("{}: a component, and no plugin of flagpost's; `flagpost plugin inspect` says more", file.display());
        }
        let bytes = fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let title = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let push = Push { component: &bytes, title: &title, exports: &component.exports, imports: &component.imports };
        let access = arguments.access()?;
        let pushed = runtime()?.block_on(distribution::push(push, &wanted, &access)).map_err(|why| told(&wanted, &why))?;
        say(format_args!("{pushed}"));
        say("");
        say(inspect::yaml_with(&component, &pushed.to_string(), false));
        Ok(())
    })
}

pub(super) fn pull(reference: &str, output: Option<&Path>, arguments: &Arguments) -> ExitCode {
    ended(|| {
        let wanted = read(reference)?;
        let access = arguments.access()?;
        let pulled = runtime()?.block_on(distribution::pull(&wanted, &access)).map_err(|why| told(&wanted, &why))?;
        let named = || PathBuf::from(format!("{}.wasm", wanted.without_version().rsplit('/').next().unwrap_or("plugin")));
        let output = output.map_or_else(named, Path::to_owned);
        write(&output, &pulled.component).with_context(|| format!("{}: cannot be written", output.display()))?;
        say(format_args!("{}", pulled.reference));
        say(format_args!("{}  {} bytes", output.display(), pulled.component.len()));
        Ok(())
    })
}

/// It appears whole: a relay may be watching the place.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut scratch = tempfile::Builder::new().prefix(".pull-").tempfile_in(directory)?;
    scratch.write_all(bytes)?;
    // Like any other file that is made, for everybody to read.
    scratch.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    scratch.persist(path)?;
    Ok(())
}

fn read(text: &str) -> Result<ImageReference> {
    text.parse().map_err(|why| anyhow!("the reference {why}"))
}

fn told(reference: &ImageReference, why: &distribution::DistributionError) -> anyhow::Error {
    anyhow!("{reference}: {}", chain(why))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    flagpost_exporter::install_crypto();
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no threads")
}

fn ended(act: impl FnOnce() -> Result<()>) -> ExitCode {
    match act() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
