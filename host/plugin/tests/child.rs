//! Compilation in a child process. This program is both the test and, called as `<program> plugin compile <in> <out>`, the child.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use common::{RUNTIME, features, guest, load, settled};
use flagpost_exporter::{Exporter, Readiness};
use flagpost_plugin::{Compiler, HostOptions, PluginHost, PluginSpec, PluginState};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.len() == 4 && args[0] == "plugin" && args[1] == "compile" {
        return flagpost_plugin::compile_main(args.into_iter().skip(2));
    }
    let tests: [(&str, fn()); 7] = [
        ("a_child_compiles_what_the_relay_runs", a_child_compiles_what_the_relay_runs),
        ("a_start_waits_for_no_compilation", a_start_waits_for_no_compilation),
        ("the_cache_spares_the_next_start_the_compiler", the_cache_spares_the_next_start_the_compiler),
        ("a_forged_entry_is_compiled_anew", a_forged_entry_is_compiled_anew),
        ("a_damaged_component_is_refused_with_the_compilers_words", a_damaged_component_is_refused_with_the_compilers_words),
        ("a_compiler_that_fails_is_tried_again", a_compiler_that_fails_is_tried_again),
        ("a_compiler_that_is_killed_is_run_again", a_compiler_that_is_killed_is_run_again),
    ];
    let wanted = args.iter().find_map(|arg| arg.to_str().filter(|arg| !arg.starts_with('-')));
    for (name, test) in tests.iter().filter(|(name, _)| wanted.is_none_or(|wanted| name.contains(wanted))) {
        if !args.iter().any(|arg| arg == "--list") {
            // A panic ends the program with an error, and has said which assertion failed.
            test();
            println!("test {name} ... ok");
        } else {
            println!("{name}: test");
        }
    }
    ExitCode::SUCCESS
}

fn me() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn host(cache: &Path, program: PathBuf) -> Arc<PluginHost> {
    PluginHost::start(HostOptions { compiler: Compiler::Child(program), ..common::options(cache) }).unwrap()
}

fn script(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("compiler.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn spec(wasm: &[u8]) -> PluginSpec {
    PluginSpec::new("acme", common::file(wasm))
}

fn entries(cache: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.file_name().is_none_or(|name| name != "key")).collect()
}

fn a_child_compiles_what_the_relay_runs() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let cache = temp.path().join("cache");
        let exporter = load(&host(&cache, me()), spec(&guest(""))).await;
        assert_eq!(exporter.export(&features(3)).await, Ok(()), "{:?}", exporter.report());
        let left = entries(&cache);
        assert!(left.len() == 1 && left[0].extension().is_some_and(|extension| extension == "cwasm"), "no temporary files stay: {left:?}");
    });
}

fn a_start_waits_for_no_compilation() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let go = temp.path().join("go");
        let waits = format!("while [ ! -e {} ]; do sleep 0.02; done; exec {} \"$@\"", go.display(), me().display());
        let host = host(&temp.path().join("cache"), script(temp.path(), &waits));
        let (first, second) = (host.load(spec(&guest(""))).unwrap(), host.load(spec(&guest("nop"))).unwrap());
        assert_eq!(first.report().state, PluginState::Compiling);
        assert!(first.export(&features(1)).await.is_err(), "nothing is taken yet");
        std::fs::write(&go, "").unwrap();
        for exporter in [first, second] {
            assert_eq!(settled(&exporter).await, Readiness::Ready { generation: 1 });
        }
    });
}

fn the_cache_spares_the_next_start_the_compiler() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let cache = temp.path().join("cache");
        let spec = spec(&guest(""));
        drop(load(&host(&cache, me()), spec.clone()).await);
        let exporter = load(&host(&cache, "/nonexistent/compiler".into()), spec).await;
        assert_eq!(exporter.export(&features(1)).await, Ok(()), "{:?}", exporter.report());
    });
}

fn a_forged_entry_is_compiled_anew() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let cache = temp.path().join("cache");
        let spec = spec(&guest(""));
        drop(load(&host(&cache, me()), spec.clone()).await);
        let entry = entries(&cache).remove(0);
        let good = std::fs::read(&entry).unwrap();
        let mut forged = good.clone();
        let last = forged.len() - 1;
        forged[last] ^= 0xff;
        std::fs::write(&entry, &forged).unwrap();
        let exporter = load(&host(&cache, "/nonexistent/compiler".into()), spec.clone()).await;
        assert_eq!(exporter.report().state, PluginState::Invalid, "the forged entry was not loaded, and nothing could replace it");
        drop(exporter);
        let exporter = load(&host(&cache, me()), spec).await;
        assert_eq!(exporter.export(&features(1)).await, Ok(()), "{:?}", exporter.report());
        assert_ne!(std::fs::read(&entry).unwrap(), forged, "and it was replaced");
    });
}

fn a_damaged_component_is_refused_with_the_compilers_words() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let mut wasm = guest("");
        let middle = wasm.len() / 2;
        wasm.truncate(middle);
        let exporter = load(&host(&temp.path().join("cache"), me()), spec(&wasm)).await;
        let reason = exporter.report().reason.unwrap();
        assert!(reason.contains("it does not compile: ") && reason.contains("is out of bounds"), "{reason}");
    });
}

fn a_compiler_that_fails_is_tried_again() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let once = temp.path().join("once");
        let fails_once =
            format!("if [ ! -e {0} ]; then touch {0}; echo out of luck >&2; exit 1; fi; exec {1} \"$@\"", once.display(), me().display());
        let host = host(&temp.path().join("cache"), script(temp.path(), &fails_once));
        let exporter = load(&host, spec(&guest(""))).await;
        let reason = exporter.report().reason.unwrap();
        assert!(reason.contains("the compiler could not be run: exit code 1; out of luck"), "{reason}");
        let ready = |readiness: &Readiness| *readiness == Readiness::Ready { generation: 1 };
        exporter.readiness().unwrap().wait_for(ready).await.unwrap();
    });
}

fn a_compiler_that_is_killed_is_run_again() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let once = temp.path().join("once");
        let killed_once = format!("if [ ! -e {0} ]; then touch {0}; kill -9 $$; fi; exec {1} \"$@\"", once.display(), me().display());
        let host = host(&temp.path().join("cache"), script(temp.path(), &killed_once));
        let exporter = load(&host, spec(&guest(""))).await;
        let reason = exporter.report().reason.unwrap();
        assert!(reason.contains("compiling it was stopped: the system killed the compiler"), "{reason}");
        assert_eq!(entries(&temp.path().join("cache")), Vec::<PathBuf>::new(), "no temporary files stay");
        let ready = |readiness: &Readiness| *readiness == Readiness::Ready { generation: 1 };
        exporter.readiness().unwrap().wait_for(ready).await.unwrap();
    });
}
