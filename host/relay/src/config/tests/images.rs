//! `path: oci://…`: what becomes of it, and what is said about wrong ones.

use std::path::PathBuf;

use flagpost_plugin::PluginSpec;

use super::*;
use crate::config::Target;

fn spec(loaded: &Loaded) -> PluginSpec {
    match &loaded.config.exporters[0].target {
        Target::Wasm(spec) => (**spec).clone(),
        Target::Native(_) => panic!("another kind"),
    }
}

fn of(path: &str, more: &str) -> Result<Loaded, Vec<Problem>> {
    let text = format!("exporters:\n  - kind: wasm\n    path: \"{path}\"\n    {more}\n");
    with(&text, &[("TOKEN", "s3cret-token")])
}

#[test]
fn an_image_and_its_registry_become_what_the_host_takes() {
    let path = format!("oci://ghcr.io/acme/plugin:1.0@sha256:{}", "ab".repeat(32));
    let loaded = of(&path, "registry: { username: robot, password: \"${TOKEN}\", plainHttp: true, tls: { ca: ca.pem } }");
    assert!(said(&loaded).is_empty(), "{:?}", said(&loaded));
    let spec = spec(&loaded.unwrap());
    assert_eq!(spec.path, PathBuf::from(&path));
    let image = spec.image.clone().unwrap();
    assert_eq!(image.reference.to_string(), path);
    assert_eq!(image.access.username.as_deref(), Some("robot"));
    assert_eq!(image.access.password.as_ref().unwrap().reveal(), "s3cret-token");
    assert!(image.access.plain_http);
    assert_eq!(image.access.ca, Some(PathBuf::from("/etc/flagpost/ca.pem")));
    assert!(!format!("{spec:?}").contains("s3cret"), "{spec:?}");
}

#[test]
fn another_version_of_an_image_is_the_same_exporter_and_another_image_is_not() {
    let name = |path: &str| of(path, "").unwrap().config.exporters[0].identity.exporter.clone();
    let first = name("oci://ghcr.io/acme/plugin:1.0");
    assert_eq!(name("oci://ghcr.io/acme/plugin:2.0"), first);
    assert_eq!(name(&format!("oci://ghcr.io/acme/plugin@sha256:{}", "ab".repeat(32))), first);
    assert_ne!(name("oci://ghcr.io/acme/other:1.0"), first);
    // It is another thing to run all the same.
    let (one, two) = (of("oci://ghcr.io/acme/plugin:1.0", "").unwrap(), of("oci://ghcr.io/acme/plugin:2.0", "").unwrap());
    assert!(!one.config.exporters[0].does_the_same(&two.config.exporters[0]));
}

#[test]
fn a_tag_alone_is_taken_with_a_warning_unless_the_component_is_pinned() {
    let lines = said(&of("oci://ghcr.io/acme/plugin:1.0", ""));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("exporters[0].path") && lines[0].contains("a tag and no digest"), "{lines:?}");
    assert!(lines[0].contains("flagpost plugin pull oci://ghcr.io/acme/plugin:1.0"), "{lines:?}");
    assert!(said(&of("oci://ghcr.io/acme/plugin:1.0", &format!("sha256: \"{}\"", "ab".repeat(32)))).is_empty());
}

#[test]
fn what_is_wrong_with_an_image_is_said_with_its_line() {
    let cases = [
        ("oci://ghcr.io/Acme/plugin:1.0", "", "line 3: exporters[0].path: is no reference to an image"),
        ("oci://plugin:1.0", "", "line 3: exporters[0].path: names no registry"),
        ("oci://ghcr.io/acme/plugin", "", "line 3: exporters[0].path: names neither tag nor digest"),
        ("oci://u:s3cret@ghcr.io/acme/plugin:1", "", "line 3: exporters[0].path: holds credentials"),
        ("acme.wasm", "registry: { username: robot }", "line 4: exporters[0].registry: is for images"),
        (
            "oci://ghcr.io/acme/plugin:1",
            "registry: { username: robot }",
            "line 4: exporters[0].registry: one of `username` and `password` alone",
        ),
        ("oci://ghcr.io/acme/plugin:1", "registry: { usernam: robot }", "line 4: exporters[0].registry.usernam: "),
    ];
    for (path, more, expected) in cases {
        let lines = said(&of(path, more));
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{path}: {lines:?}");
        assert!(!lines.concat().contains("s3cret"), "{lines:?}");
    }
}
