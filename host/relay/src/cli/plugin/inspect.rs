//! `flagpost plugin inspect`: what a component is, without running it.

use std::path::Path;
use std::process::ExitCode;

use flagpost_author::{Component, World};

use crate::cli::{chain, complain, say};

pub(super) fn inspect(file: &Path, json: bool) -> ExitCode {
    let component = match flagpost_author::inspect(file) {
        Ok(component) => component,
        Err(error) => {
            complain(chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let yaml = yaml(&component);
    if json {
        let mut report = serde_json::json!(component);
        report["yaml"] = yaml.clone().into();
        say(format_args!("{report:#}"));
    } else {
        tell(&component, &yaml);
    }
    match component.interface {
        Some(_) => ExitCode::SUCCESS,
        None => {
            complain(format_args!(
                "{}: a component, and no plugin of flagpost's: it exports {}; expected `flagpost:plugin/exporter@0.1.0` (world `{}`) or \
                 `flagpost:plugin/managed-exporter@0.1.0` (world `{}`)",
                file.display(),
                if component.exports.is_empty() { "nothing".to_owned() } else { component.exports.join(", ") },
                World::Plugin,
                World::Managed
            ));
            ExitCode::FAILURE
        }
    }
}

fn tell(component: &Component, yaml: &str) {
    let list = |items: &[String]| if items.is_empty() { "unknown".to_owned() } else { items.join(", ") };
    say(format_args!("file        {}", component.path.display()));
    say(format_args!("size        {} bytes", component.size));
    say(format_args!("sha256      {}", component.sha256));
    say(format_args!("interface   {}", component.interface.as_deref().unwrap_or("none of flagpost's")));
    if let Some(world) = component.world {
        say(format_args!("world       {world}"));
    }
    say(format_args!("language    {}", list(&component.languages)));
    say(format_args!("made by     {}", list(&component.producers)));
    say(format_args!("exports     {}", component.exports.join("\n            ")));
    say(format_args!("imports     {}", component.imports.join("\n            ")));
    say("");
    say(yaml);
}

/// What to write into the relay's configuration. An import is no proof of use (JavaScript and Python keep all of their world), so grants
/// stand there as what to fill in.
fn yaml(component: &Component) -> String {
    let file = component.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    yaml_with(component, &file, true)
}

/// The same with another `path`; `pin`: with the file's digest.
pub(super) fn yaml_with(component: &Component, path: &str, pin: bool) -> String {
    let file = component.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = file.trim_end_matches(".wasm").to_owned();
    let mut lines = vec!["exporters:".to_owned(), "  - kind: wasm".to_owned(), format!("    name: {name}"), format!("    path: {path}")];
    if pin {
        lines.push(format!("    sha256: {}    # optional: no other file is run", component.sha256));
    }
    let managed = component.world == Some(World::Managed.name());
    if managed || component.imports_any(&["flagpost:plugin/config", "wasi:config/store"]) {
        lines.push(format!(
            "    config: {{}}    # what it asks for{}",
            if managed { "; `flagpost plugin validate FILE` names what it needs" } else { "" }
        ));
    }
    if component.imports_any(&["flagpost:plugin/http", "wasi:http/outgoing-handler"]) {
        lines.push(
            "    allowedHosts: [ \"POST https://HOST\" ]    # where it sends; `flagpost plugin test` says where it tries to".to_owned(),
        );
    }
    if component.imports_any(&["flagpost:plugin/secrets"]) {
        lines
            .push("    # secrets: { NAME: { env: NAME, hosts: [ \"https://HOST\" ], as: header } }    # if it asks for secrets".to_owned());
    }
    if component.imports_any(&["flagpost:plugin/key-value"]) {
        lines.push("    # state: grants it keys that outlive it, if it uses `key-value`".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_to_paste_follows_from_what_is_imported() {
        let component = |imports: &[&str]| Component {
            path: PathBuf::from("plugins/acme.wasm"),
            size: 9,
            sha256: "ab".repeat(32),
            interface: Some("flagpost:plugin/exporter@0.1.0".to_owned()),
            world: Some("plugin"),
            exports: Vec::new(),
            imports: imports.iter().map(|&import| import.to_owned()).collect(),
            languages: Vec::new(),
            producers: Vec::new(),
        };
        let bare = yaml(&component(&["flagpost:plugin/events@0.1.0"]));
        assert!(bare.contains("name: acme\n    path: acme.wasm"), "{bare}");
        assert!(!bare.contains("allowedHosts") && !bare.contains("config:"), "{bare}");
        let wasi = yaml(&component(&["wasi:http/outgoing-handler@0.2.10", "flagpost:plugin/config@0.1.0"]));
        assert!(wasi.contains("allowedHosts: [ \"POST https://HOST\" ]") && wasi.contains("config: {}"), "{wasi}");
    }
}
