//! Plugins out of a registry: pushed, pulled, run, and everything that a registry can do wrong.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flagpost_tests::servers::registry::{self, PASSWORD, Registry, USER};
use flagpost_tests::servers::unique;
use flagpost_tests::{Author, Faults, Guest, Program, Received, Rule, Setup, Target, events, flagpost, guest, until, versioned_plugin};
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CREDENTIALS: &str = "registry: { username: tester, password: \"${REGISTRY_PASSWORD}\" }";

fn environment() -> [(&'static str, &'static str); 2] {
    [("FLAGPOST_REGISTRY_USERNAME", USER), ("FLAGPOST_REGISTRY_PASSWORD", PASSWORD)]
}

/// A relay whose one plugin posts to the target; `path` and more keys of it.
fn with_plugin(target: &Target, path: &str, more: &str) -> Setup {
    let exporter = format!(
        "  - {{ kind: wasm, name: plugin, path: \"{path}\", flushInterval: 20, retry: {{ initial: 5ms, max: 50ms }}, \
         config: {{ endpoint: \"{0}\" }}, allowedHosts: [ \"POST {0}\" ], {more} }}",
        target.url("")
    );
    Setup::new()
        .with_head("evaluation: none\nauthorizedKeys: { admin: [ admin-key ] }\n")
        .with_exporters(&exporter)
        // No login of whoever runs the tests is used.
        .with_environment([("REGISTRY_PASSWORD", PASSWORD), ("DOCKER_CONFIG", "docker")])
}

/// Pushes a component; gives the reference with the digest.
fn push(reference: &str, component: &[u8]) -> String {
    let setup = Setup::new();
    fs::write(setup.path("acme.wasm"), component).unwrap();
    let finished = Author::at(setup.directory()).run_with(&["push", "acme.wasm", reference], &environment());
    assert!(finished.status.success(), "{}", finished.text);
    finished.text.lines().next().unwrap().to_owned()
}

fn version(received: &Received) -> u64 {
    received.headers["x-version"].to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap()
}

/// Waits until an event posted now arrives from that version of the plugin.
async fn delivers(relay: &Program, target: &Target, number: u64, wanted: u64) {
    relay.post(&events(number..number + 1)).await;
    relay.complete("plugin", number).await;
    assert_eq!(target.last().as_ref().map(version), Some(wanted));
}

async fn is_invalid(relay: &Program, words: &[&str]) {
    let task = until(&format!("the plugin is invalid: {words:?}"), async || {
        let task = relay.exporter("plugin").await;
        let reason = task["reason"].as_str().unwrap_or_default();
        (task["state"] == "invalid" && words.iter().all(|word| reason.contains(word))).then_some(task)
    })
    .await;
    assert!(!task.to_string().contains(PASSWORD), "{task}");
}

fn reload(setup: &Setup) -> flagpost_tests::Finished {
    flagpost(setup, &["plugin", "reload", "plugin", "--config", "flagpost.yaml"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_pushed_pulled_and_run_by_the_reference_that_push_printed() {
    let Some(registry) = registry::shared().await else { return };
    let name = format!("{}/acme", unique("team"));
    let (setup, component) = (Setup::new(), versioned_plugin(1));
    fs::write(setup.path("acme.wasm"), &component).unwrap();
    let author = Author::at(setup.directory());
    let tagged = format!("oci://{}/{name}:v1", registry.host());
    let pushed = author.run_with(&["push", "acme.wasm", &tagged], &environment());
    assert!(pushed.status.success(), "{}", pushed.text);
    let reference = pushed.text.lines().next().unwrap().to_owned();

    // What is there, seen by another client: the layout that other tools read.
    let (manifest, digest) = registry.manifest(&name, "v1").await;
    assert_eq!(reference, format!("{tagged}@sha256:{digest}"));
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1, "{manifest}");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    let blob = registry.blob(&name, manifest["layers"][0]["digest"].as_str().unwrap()).await;
    assert!(blob == component, "the bytes are the file's");
    let config = registry.blob(&name, manifest["config"]["digest"].as_str().unwrap()).await;
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&json!("wasm"), &json!("wasip2")));
    assert_eq!(config["layerDigests"], json!([manifest["layers"][0]["digest"]]));
    assert!(config["component"]["exports"].to_string().contains("flagpost:plugin/exporter@0.1.0"), "{config}");

    // The same once more has the same digest; by another name, too.
    assert_eq!(push(&tagged, &component), reference);
    let pulled = author.run_with(&["pull", &reference, "--output", "back.wasm"], &environment());
    assert!(pulled.status.success() && pulled.text.starts_with(&reference), "{}", pulled.text);
    assert!(fs::read(setup.path("back.wasm")).unwrap() == component);
    let pulled = author.run_with(&["pull", &tagged], &environment());
    assert!(pulled.status.success() && setup.path("acme.wasm").is_file(), "{}", pulled.text);

    // What push printed to be pasted is what a relay runs.
    let line = pushed.text.lines().find_map(|line| line.strip_prefix("    path: ")).unwrap_or_else(|| panic!("{}", pushed.text));
    let target = Target::good().await;
    let setup = with_plugin(&target, line, CREDENTIALS);
    let said = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(said.status.success() && !said.text.contains("exporters[0]"), "{}", said.text);
    let relay = Program::start(&setup).await;
    delivers(&relay, &target, 1, 1).await;
    let plugin = relay.exporter("plugin").await["plugin"].clone();
    assert_eq!((&plugin["image"], &plugin["path"]), (&json!(reference), &json!(reference)));
    assert_eq!(plugin["digest"], hex::encode(Sha256::digest(&component)));
    let listed = flagpost(&setup, &["plugin", "list", "--config", "flagpost.yaml"]);
    assert!(listed.text.contains(&format!("image       {reference}")), "{}", listed.text);
    let log = relay.log();
    relay.stop().await;
    assert!(![log, pushed.text, listed.text].concat().contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_it_and_a_login_heals_it() {
    let Some(registry) = registry::shared().await else { return };
    let name = unique("acme");
    let reference = push(&format!("oci://{}/{name}:v1", registry.host()), &versioned_plugin(1));
    let directory = Setup::new();
    let author = Author::at(directory.directory());
    for (environment, words) in [
        ([("FLAGPOST_REGISTRY_USERNAME", USER), ("FLAGPOST_REGISTRY_PASSWORD", "wrong-one")], "with the username and the password"),
        ([("FLAGPOST_REGISTRY_USERNAME", ""), ("DOCKER_CONFIG", "nowhere")], "without credentials"),
        ([("FLAGPOST_REGISTRY_USERNAME", USER), ("FLAGPOST_REGISTRY_PASSWORD", "")], "set both, or none"),
    ] {
        let finished = author.run_with(&["pull", &reference], &environment);
        assert!(!finished.status.success() && finished.text.contains(words), "{words}: {}", finished.text);
        assert!(!finished.text.contains("wrong-one"), "{}", finished.text);
    }
    fs::write(directory.path("acme.wasm"), versioned_plugin(2)).unwrap();
    let wrong = [("FLAGPOST_REGISTRY_USERNAME", USER), ("FLAGPOST_REGISTRY_PASSWORD", "wrong-one")];
    let finished = author.run_with(&["push", "acme.wasm", &format!("oci://{}/{name}:v2", registry.host())], &wrong);
    assert!(!finished.status.success() && finished.text.contains("the registry refuses it with"), "{}", finished.text);

    // A relay that uses what `docker login` left: a wrong password first, then the right one.
    let target = Target::good().await;
    let setup = with_plugin(&target, &reference, "");
    let login = |password: &str| {
        let auth = STANDARD.encode(format!("{USER}:{password}"));
        fs::create_dir_all(setup.path("docker")).unwrap();
        fs::write(setup.path("docker/config.json"), json!({ "auths": { registry.host(): { "auth": auth } } }).to_string()).unwrap();
        auth
    };
    let wrong = login("wrong-one");
    let relay = Program::start(&setup).await;
    is_invalid(&relay, &["the registry refuses it with the credentials in docker/config.json", "docker login"]).await;
    relay.post(&events(1..11)).await;
    let right = login(PASSWORD);
    let reloaded = reload(&setup);
    assert!(reloaded.status.success(), "{}", reloaded.text);
    relay.complete("plugin", 10).await;
    let log = relay.log();
    for secret in ["wrong-one", PASSWORD, &wrong, &right] {
        assert!(!log.contains(secret), "{log}");
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_what_their_digests_say_never_run() {
    let Some(registry) = registry::shared().await else { return };
    let name = unique("acme");
    let reference = push(&format!("oci://{}/{name}:v1", registry.host()), &versioned_plugin(1));
    let other = push(&format!("oci://{}/{name}:v2", registry.host()), &versioned_plugin(2));
    let target = Target::good().await;
    let nobody = format!("oci://{}/{name}@sha256:{}", registry.host(), "0".repeat(64));
    let relay = Program::start(&with_plugin(&target, &nobody, CREDENTIALS)).await;
    is_invalid(&relay, &[&nobody, "no such image"]).await;
    relay.stop().await;

    // Somebody between the relay and the registry, who has another manifest for the digest, and then another component.
    let between = Faults::before(registry.url()).await;
    let address = between.url("").trim_start_matches("http://").to_owned();
    let moved = reference.replace(registry.host(), &address);
    let (manifest, _) = registry.manifest(&name, "v2").await;
    between.add(Rule::any().method(Method::GET).path("/manifests/").always().answer_with(
        200,
        &[("content-type", "application/vnd.oci.image.manifest.v1+json")],
        manifest.to_string(),
    ));
    let setup = with_plugin(&target, &moved, CREDENTIALS);
    let relay = Program::start(&setup).await;
    is_invalid(&relay, &["what came is not what its digest says"]).await;
    between.heal();
    between.add(Rule::any().method(Method::GET).path("/blobs/sha256:").always().answer(200, "another component"));
    assert!(!reload(&setup).status.success());
    is_invalid(&relay, &["what came is not what its digest says"]).await;
    relay.post(&events(1..2)).await;
    between.heal();
    assert!(reload(&setup).status.success());
    relay.complete("plugin", 1).await;
    relay.stop().await;

    // The pin of the component says no to an image that has another.
    let pin = hex::encode(Sha256::digest(versioned_plugin(1)));
    let setup = with_plugin(&target, &other, &format!("sha256: \"{pin}\", {CREDENTIALS}"));
    let relay = Program::start(&setup).await;
    is_invalid(&relay, &[&pin, "key `sha256`"]).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_cache_needs_no_registry_and_with_a_cold_one_events_wait_for_it() {
    let Some(registry) = registry::own().await else { return };
    let reference = push(&format!("oci://{}/acme:v1", registry.host()), &versioned_plugin(1));
    registry.stop();
    let target = Target::good().await;
    let setup = with_plugin(&target, &reference, CREDENTIALS);
    let relay = Program::start(&setup).await;
    is_invalid(&relay, &["the registry is not reached", "connect"]).await;
    relay.post(&events(1..101)).await;
    assert_eq!((relay.metrics().await.counts("plugin").waiting, target.requests()), (100, 0));
    registry.start().await;
    // Nobody says anything to the relay: it tries again by itself.
    relay.complete("plugin", 100).await;
    relay.stop().await;
    registry.stop();
    let relay = Program::start(&setup).await;
    delivers(&relay, &target, 101, 1).await;
    // A damaged cache is not believed.
    relay.stop().await;
    let images = setup.store().join("cache/images");
    let component = images.join(format!("{}.wasm", hex::encode(Sha256::digest(versioned_plugin(1)))));
    fs::write(&component, versioned_plugin(2)).unwrap();
    let relay = Program::start(&setup).await;
    is_invalid(&relay, &["the registry is not reached"]).await;
    relay.post(&events(102..103)).await;
    registry.start().await;
    relay.complete("plugin", 102).await;
    assert!(target.received().iter().all(|received| version(received) == 1));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_tag_is_taken_at_a_reload_and_not_before() {
    let Some(registry) = registry::own().await else { return };
    let tagged = format!("oci://{}/acme:stable", registry.host());
    let first = push(&tagged, &versioned_plugin(1));
    let target = Target::good().await;
    let setup = with_plugin(&target, &tagged, CREDENTIALS);
    let said = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(said.status.success(), "{}", said.text);
    assert!(said.text.contains("flagpost.yaml:9: exporters[0].path: warning: has a tag and no digest"), "{}", said.text);
    let relay = Program::start(&setup).await;
    delivers(&relay, &target, 1, 1).await;
    assert!(relay.log().contains("has a tag and no digest"), "{}", relay.log());
    let second = push(&tagged, &versioned_plugin(2));
    assert_ne!(first, second);
    delivers(&relay, &target, 2, 1).await;
    assert_eq!(relay.exporter("plugin").await["plugin"]["image"], json!(first));
    let reloaded = reload(&setup);
    assert!(reloaded.status.success() && reloaded.text.contains(&second), "{}", reloaded.text);
    delivers(&relay, &target, 3, 2).await;
    let plugin = relay.exporter("plugin").await["plugin"].clone();
    assert_eq!((&plugin["generation"], &plugin["image"]), (&json!(2), &json!(second)), "{plugin}");

    // Without the registry a reload says so and changes nothing; a start takes what the tag led to last.
    registry.stop();
    let reloaded = reload(&setup);
    assert!(!reloaded.status.success() && reloaded.text.contains("the registry is not reached"), "{}", reloaded.text);
    delivers(&relay, &target, 4, 2).await;
    relay.stop().await;
    let relay = Program::start(&setup).await;
    delivers(&relay, &target, 5, 2).await;
    assert!(relay.log().contains("the tag is taken for what it was when it was last asked for"), "{}", relay.log());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_no_plugin_is_named() {
    let Some(registry) = registry::shared().await else { return };
    let (no, yes) = (unique("no"), unique("yes"));
    let wasm = guest(Guest::Takes, true);
    registry.put_image(&no, "container", &[("application/vnd.oci.image.layer.v1.tar+gzip", b"a file system")]).await;
    registry.put_image(&no, "two", &[("application/wasm", &wasm), ("application/wasm", b"more")]).await;
    registry.put_image(&no, "text", &[("application/wasm", b"this is text")]).await;
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [] });
    registry.put_manifest(&no, "index", &index).await;
    let cases = [
        ("container", "tar+gzip`, expected `application/wasm`"),
        ("two", "it has 2 layers"),
        ("text", "is not WebAssembly"),
        ("index", "index of several images"),
        ("missing", "no such image"),
    ];
    let exporters: Vec<String> = cases
        .iter()
        .map(|(tag, _)| format!("  - {{ kind: wasm, name: {tag}, path: \"oci://{}/{no}:{tag}\", {CREDENTIALS} }}", registry.host()))
        .collect();
    let setup = Setup::new().with_exporters(&exporters.join("\n")).with_environment([("REGISTRY_PASSWORD", PASSWORD)]);
    let relay = Program::start(&setup).await;
    for (tag, words) in cases {
        let task = relay.in_state(tag, "invalid").await;
        let reason = task["reason"].as_str().unwrap();
        assert!(reason.contains(words) && reason.contains(&format!("/{no}:{tag}")), "{tag}: {reason}");
    }
    relay.stop().await;
    // An image that another tool made, whatever its configuration is, has a component.
    registry.put_image(&yes, "v1", &[("application/wasm", &wasm)]).await;
    let author = Author::at(setup.directory());
    let pulled = author.run_with(&["pull", &format!("oci://{}/{yes}:v1", registry.host()), "-o", "yes.wasm"], &environment());
    assert!(pulled.status.success() && fs::read(setup.path("yes.wasm")).unwrap() == wasm, "{}", pulled.text);
    // And only plugins are pushed.
    for (component, words) in [(guest(Guest::OtherWorld, true), "no plugin of flagpost's"), (guest(Guest::Module, true), "core module")] {
        fs::write(setup.path("other.wasm"), component).unwrap();
        let finished = author.run_with(&["push", "other.wasm", &format!("oci://{}/{no}:v1", registry.host())], &environment());
        assert!(!finished.status.success() && finished.text.contains(words), "{}", finished.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_a_certificate_of_a_private_authority_is_trusted_when_it_is_named() {
    let Some(registry) = registry::with_tls().await else { return };
    let setup = Setup::new();
    let author = Author::at(setup.directory());
    fs::write(setup.path("acme.wasm"), versioned_plugin(1)).unwrap();
    let tagged = format!("oci://{}/acme:v1", registry.host());
    let ca = registry.certificate().display().to_string();
    let pushed = author.run_with(&["push", "acme.wasm", &tagged, "--ca", &ca], &environment());
    assert!(pushed.status.success(), "{}", pushed.text);
    let reference = pushed.text.lines().next().unwrap();
    let target = Target::good().await;
    let keys = format!("registry: {{ username: tester, password: \"${{REGISTRY_PASSWORD}}\", tls: {{ ca: \"{ca}\" }} }}");
    let relay = Program::start(&with_plugin(&target, reference, &keys)).await;
    delivers(&relay, &target, 1, 1).await;
    relay.stop().await;
    // The password is not sent to whom nobody vouches for.
    let stranger = registry_without_its_authority(&registry, &author, &setup);
    assert!(stranger.contains("the registry is not reached"), "{stranger}");
}

/// What a pull says that trusts another authority than the registry's.
fn registry_without_its_authority(registry: &Registry, author: &Author, setup: &Setup) -> String {
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(setup.path("other.crt"), other.cert.pem()).unwrap();
    let finished = author.run_with(&["pull", &format!("oci://{}/acme:v1", registry.host()), "--ca", "other.crt"], &environment());
    assert!(!finished.status.success(), "{}", finished.text);
    finished.text
}
