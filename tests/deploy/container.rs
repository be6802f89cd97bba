//! deploy/Dockerfile and deploy/docker-compose.yaml.

use std::fs;
use std::path::Path;
use std::process::Command;

use flagpost_tests::{Setup, program_path};

use crate::tools::{out, read, root, run, tool, yaml};

const DOCKERFILE: &str = "deploy/Dockerfile";

/// The instructions with their arguments, lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read(DOCKERFILE).replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).unwrap()).collect()
}

#[test]
fn the_dockerfile_passes_hadolint() {
    let linted = run(Command::new(tool("python/bin/hadolint")).arg("--failure-threshold=style").arg(root().join(DOCKERFILE)));
    assert!(linted.status.success(), "{}", linted.text);
}

#[test]
fn the_image_is_built_with_the_pinned_toolchain_and_does_not_run_as_root() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"').to_owned();
    let all = instructions();
    let from: Vec<&str> = all.iter().filter(|(name, _)| name == "FROM").map(|(_, rest)| rest.as_str()).collect();
    assert_eq!(from[0], format!("rust:{channel}-slim-bookworm AS build"));
    assert_eq!(from[1], "debian:bookworm-slim", "the same Debian as the build's");
    let last = |name: &str| all.iter().rfind(|(found, _)| found == name).map(|(_, rest)| rest.as_str()).unwrap();
    // A number: Kubernetes' runAsNonRoot refuses names.
    assert_eq!(last("USER"), "65532:65532");
    assert_eq!(last("VOLUME"), r#"["/var/lib/flagpost"]"#);
    assert_eq!(last("ENTRYPOINT"), r#"["/usr/local/bin/flagpost"]"#, "signals reach the program: no shell between");
}

/// Whether a Dockerfile's ignore file leaves a path out: the last rule that fits the path or a directory above it decides.
fn is_ignored(rules: &[(bool, Vec<&str>)], path: &Path) -> bool {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let fits = |pattern: &[&str]| (1..=parts.len()).any(|length| matches(pattern, &parts[..length]));
    rules.iter().rfind(|(_, pattern)| fits(pattern)).is_some_and(|(ignored, _)| *ignored)
}

fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=path.len()).any(|skipped| matches(rest, &path[skipped..])),
        (["*", rest @ ..], [_, path @ ..]) => matches(rest, path),
        ([one, rest @ ..], [part, path @ ..]) => one == part && matches(rest, path),
        _ => false,
    }
}

/// Copies what an engine would send to the build.
fn copy_context(to: &Path) {
    let text = read("deploy/Dockerfile.dockerignore");
    let rules: Vec<(bool, Vec<&str>)> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| (!line.starts_with('!'), line.trim_start_matches('!').split('/').collect()))
        .collect();
    let files = out(Command::new("git").current_dir(root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]));
    for file in files.split('\0').filter(|file| !file.is_empty() && !is_ignored(&rules, Path::new(file))) {
        let place = to.join(file);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(root().join(file), place).unwrap();
    }
}

#[test]
fn the_build_context_is_small_and_holds_the_whole_workspace() {
    let context = tempfile::tempdir().unwrap();
    copy_context(context.path());
    for (file, there) in [("Cargo.lock", true), ("wit/flagpost.wit", true), ("README.md", false), ("rust-toolchain.toml", false)] {
        assert_eq!(context.path().join(file).exists(), there, "{file}");
    }
    // Every member and every target of every member is there, and the lock file is up to date.
    let metadata =
        out(Command::new(env!("CARGO")).current_dir(&context).args(["metadata", "--locked", "--offline", "--format-version", "1"]));
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let members = metadata["workspace_members"].as_array().unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().filter(|package| members.contains(&package["id"]));
    let targets: Vec<&serde_json::Value> = packages.flat_map(|package| package["targets"].as_array().unwrap()).collect();
    assert!(targets.iter().any(|target| target["name"] == "flagpost" && target["kind"][0] == "bin"));
    for target in targets {
        assert!(Path::new(target["src_path"].as_str().unwrap()).exists(), "{target}");
    }
}

#[test]
fn the_compose_file_is_valid_and_everything_that_it_mounts_is_there() {
    let file = root().join("deploy/docker-compose.yaml");
    let loaded = out(Command::new(tool("compose")).current_dir(file.parent().unwrap()).args(["-format", "json"]).arg(&file));
    let project: serde_json::Value = serde_json::from_str(&loaded).unwrap();
    let services = &project["services"];
    for (name, service) in services.as_object().unwrap() {
        assert!(service["image"].as_str().unwrap().split_once(':').is_some_and(|(_, tag)| tag != "latest"), "{name}: {}", service["image"]);
        for volume in service["volumes"].as_array().unwrap().iter().filter(|volume| volume["type"] == "bind") {
            assert!(Path::new(volume["source"].as_str().unwrap()).exists(), "{name}: {volume}");
        }
    }
    let flagpost = &services["flagpost"];
    assert_eq!((&flagpost["read_only"], &flagpost["cap_drop"][0]), (&true.into(), &"ALL".into()));
    assert!(root().join("deploy").join("..").join(flagpost["build"]["dockerfile"].as_str().unwrap()).exists());
    assert!(services["relay"].get("ports").is_none(), "clients come through flagpost");
}

/// Validates a configuration of deploy/compose with what compose would set.
fn validate(text: &str) -> flagpost_tests::Finished {
    let setup = Setup::new();
    fs::write(setup.config(), text).unwrap();
    let mut command = Command::new(program_path());
    command.current_dir(setup.directory()).env("RELAY_WEBHOOK_SECRET", "change-me").args(["validate", "--config", "flagpost.yaml"]);
    run(&mut command)
}

#[test]
fn the_compose_examples_configuration_is_valid_and_fits_the_file() {
    let text = read("deploy/compose/flagpost.yaml");
    let valid = validate(&text);
    assert!(valid.status.success(), "{}", valid.text);
    let (config, compose) = (yaml(&text).remove(0), yaml(&read("deploy/docker-compose.yaml")).remove(0));
    assert_eq!(config["upstream"]["url"], "http://relay:1031");
    assert_eq!((&config["shutdownTimeout"], &compose["services"]["flagpost"]["stop_grace_period"]), (&"10s".into(), &"30s".into()));
}

#[test]
fn the_relays_own_file_is_valid_here_with_one_line_more() {
    let text = format!("{}\nupstream: {{ url: \"http://relay:1031\" }}\n", read("deploy/compose/goff-proxy.yaml"));
    let valid = validate(&text);
    assert!(valid.status.success(), "{}", valid.text);
}
