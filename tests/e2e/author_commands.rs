//! Each of the `flagpost plugin` commands, as an author or an operator uses it.

use std::fs;
use std::path::Path;

use flagpost_tests::{Author, Guest, Program, Setup, Target, example_plugin, first_party, flagpost, guest, until};
use serde_json::Value;

/// A directory with the example in Rust, built, as `acme.wasm`.
fn with_example() -> (Setup, Author) {
    let setup = Setup::new();
    fs::copy(example_plugin(), setup.path("acme.wasm")).unwrap();
    let author = Author::at(setup.directory());
    (setup, author)
}

const CONFIG: &str = "{ endpoint: \"https://in.acme.dev/v1\", key: k-1 }";

#[test]
fn a_name_that_is_taken_or_no_name_is_refused_and_nothing_is_overwritten() {
    let setup = Setup::new();
    let author = Author::at(setup.directory());
    author.good(&["new", "--lang", "c", "acme"]);
    fs::write(setup.path("acme/plugin.c"), "mine").unwrap();
    for (arguments, words) in [
        (["new", "--lang", "c", "acme"], "is there already and not empty"),
        (["new", "--lang", "go", "Acme"], "no name for a plugin"),
        (["new", "--lang", "perl", "acme2"], "expected one of rust, js, ts, python, go, c"),
    ] {
        let finished = author.run(&arguments);
        assert!(!finished.status.success());
        assert!(finished.text.contains(words), "{words}: {}", finished.text);
    }
    assert_eq!(fs::read_to_string(setup.path("acme/plugin.c")).unwrap(), "mine");
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let setup = Setup::new();
    let author = Author::at(setup.directory());
    let nothing = setup.path("empty").display().to_string();
    for (language, words) in [
        ("go", "Go 1.24 or newer is not installed, and Go plugins are built with it. To install it: https://go.dev/dl/"),
        ("js", "npm is not installed"),
        ("ts", "apt-get install nodejs npm"),
        ("python", "apt-get install python3 python3-venv"),
        ("c", "Python 3 is not installed, and C plugins are built with it"),
        ("rust", "rustup target add wasm32-wasip2"),
    ] {
        author.good(&["new", "--lang", language, language]);
        let finished = author.run_with(&["build", language], &[("PATH", &nothing)]);
        assert!(!finished.status.success());
        assert!(finished.text.contains(words), "{language}: {}", finished.text);
    }
    let finished = author.run(&["build", "plugins"]);
    assert!(finished.text.contains("no plugin project: expected one of Cargo.toml, plugin.ts"), "{}", finished.text);
}

#[test]
fn a_mistake_in_the_source_is_shown_in_the_compilers_words() {
    let setup = Setup::new();
    let author = Author::at(setup.directory());
    author.good(&["new", "--lang", "go", "acme"]);
    let source = fs::read_to_string(setup.path("acme/plugin.go")).unwrap();
    fs::write(setup.path("acme/plugin.go"), source.replace("flagpost.BatchID()", "flagpost.BatchNumber()")).unwrap();
    let finished = author.run(&["build", "acme"]);
    assert!(!finished.status.success());
    assert!(finished.text.contains("undefined: flagpost.BatchNumber"), "{}", finished.text);
    assert!(!setup.path("acme/acme.wasm").exists());
}

#[test]
fn inspect_says_what_a_component_is_and_what_to_paste() {
    let (setup, author) = with_example();
    let text = author.good(&["inspect", "acme.wasm"]);
    for words in
        ["flagpost:plugin/exporter@0.1.0", "world       plugin", "Rust", "flagpost:plugin/http@0.1.0", "path: acme.wasm", "allowedHosts: ["]
    {
        assert!(text.contains(words), "`{words}`: {text}");
    }
    // What is pasted is a configuration.
    let yaml = &text[text.find("exporters:").unwrap()..];
    fs::write(setup.path("pasted.yaml"), format!("evaluation: none\n{}", yaml.replace("HOST", "in.acme.dev"))).unwrap();
    let validated = flagpost(&setup, &["validate", "--config", "pasted.yaml"]);
    assert!(validated.status.success(), "{}", validated.text);

    fs::write(setup.path("other.wasm"), guest(Guest::OtherWorld, true)).unwrap();
    fs::write(setup.path("core.wasm"), guest(Guest::Module, true)).unwrap();
    fs::write(setup.path("no.wasm"), "hello").unwrap();
    for (file, words) in [
        ("other.wasm", "it exports run; expected `flagpost:plugin/exporter@0.1.0`"),
        ("core.wasm", "core.wasm: no WebAssembly component: it is a core module"),
        ("no.wasm", "does not begin as WebAssembly does"),
        ("missing.wasm", "missing.wasm: cannot be read"),
    ] {
        let finished = author.run(&["inspect", file]);
        assert!(!finished.status.success());
        assert!(finished.text.contains(words), "{file}: {}", finished.text);
    }
}

#[test]
fn validate_loads_as_the_relay_would() {
    let (setup, author) = with_example();
    let text = author.good(&["validate", "acme.wasm"]);
    assert!(text.contains("acme.wasm: good: flagpost:plugin/exporter@0.1.0, batches"), "{text}");
    fs::write(setup.path("other.wasm"), guest(Guest::OtherVersion, true)).unwrap();
    let finished = author.run(&["validate", "other.wasm"]);
    assert!(!finished.status.success() && finished.text.contains("9.9.0"), "{}", finished.text);

    fs::copy(setup.path("acme.wasm"), setup.path("plugins/acme.wasm")).unwrap();
    let setup = setup.with_exporters("  - { kind: wasm, name: a, path: acme.wasm }\n  - { kind: wasm, name: b, path: ./other.wasm }");
    let finished = author.run(&["validate", "--config", "flagpost.yaml"]);
    assert!(!finished.status.success());
    assert!(finished.text.contains("acme.wasm: good") && finished.text.contains("exporter `b`: "), "{}", finished.text);
    drop(setup);
}

#[test]
fn test_prints_requests_and_commands_and_compares_with_what_was_looked_at() {
    let (setup, author) = with_example();
    fs::write(setup.path("config.yaml"), CONFIG).unwrap();
    fs::write(setup.path("replies.yaml"), "- { status: 400, body: { error: bad value } }\n- { match: GET, status: 404 }\n").unwrap();
    let arguments = ["test", "acme.wasm", "--config", "config.yaml", "--replies", "replies.yaml"];
    let finished = author.run(&arguments);
    assert!(!finished.status.success(), "rejected events are not delivered");
    for words in [
        "> POST https://in.acme.dev/v1",
        "authorization: Bearer k-1",
        "$ curl -sS -i -X POST 'https://in.acme.dev/v1' ",
        "= rejected: HTTP 400: {\"error\":\"bad value\"}",
        "call 2: 2 tracking events",
        "# no request came for the replies [1]",
    ] {
        assert!(finished.text.contains(words), "`{words}`: {}", finished.text);
    }

    let golden = [&arguments[..], &["--golden", "golden.txt"]].concat();
    let finished = author.run(&golden);
    assert!(!finished.status.success() && finished.text.contains("golden.txt"), "{}", finished.text);
    author.good(&[&golden[..], &["--update"]].concat());
    let text = author.good(&golden);
    assert!(text.contains("golden.txt: the same"), "{text}");
    // Another key: one line differs in each of two calls.
    fs::write(setup.path("config.yaml"), CONFIG.replace("k-1", "k-2")).unwrap();
    let finished = author.run(&golden);
    assert!(!finished.status.success());
    assert!(finished.text.contains("-     authorization: Bearer k-1\n+     authorization: Bearer k-2"), "{}", finished.text);
}

/// As they stand in the READMEs of these plugins, and with an image and a digest of another day.
const EXPORTERS: [(&str, &str, &str); 3] = [
    (
        "datadog",
        "- kind: wasm\n  path: oci://ghcr.io/acme/datadog:1.0\n  eventType: all\n  config: { site: datadoghq.eu }\n  \
         allowedHosts: [ \"POST https://http-intake.logs.datadoghq.eu\" ]\n  \
         secrets: { DD_API_KEY: { env: THE_SECRET, hosts: [ \"https://http-intake.logs.datadoghq.eu\" ] } }\n",
        "    dd-api-key: [secret DD_API_KEY]\n",
    ),
    (
        "mixpanel",
        "config: { projectId: 12345 }\nsha256: \"0000000000000000000000000000000000000000000000000000000000000000\"\n\
         allowedHosts: [ \"POST https://api.mixpanel.com\" ]\n\
         secrets:\n  MIXPANEL_LOGIN: { file: secret.txt, hosts: [ \"https://api.mixpanel.com\" ], as: basic }\n",
        "    authorization: Basic [secret MIXPANEL_LOGIN]\n",
    ),
    (
        "amplitude",
        "allowedHosts: [ \"POST https://api2.amplitude.com\" ]\nsecrets: { AMPLITUDE_API_KEY: { env: THE_SECRET, as: reveal } }\n",
        "\"api_key\": \"[secret AMPLITUDE_API_KEY]\"",
    ),
];

#[test]
fn test_gives_secrets_as_the_relay_would_and_prints_their_names() {
    let setup = Setup::new();
    let author = Author::at(setup.directory());
    let secret = "anna:s3cret-\"w\u{f6}rd\"";
    fs::write(setup.path("secret.txt"), format!("{secret}\n")).unwrap();
    let environment = [("THE_SECRET", secret)];
    for (plugin, exporter, shown) in EXPORTERS {
        fs::copy(first_party(plugin), setup.path("acme.wasm")).unwrap();
        fs::write(setup.path("exporter.yaml"), exporter).unwrap();
        let arguments = ["test", "acme.wasm", "--exporter", "exporter.yaml", "--golden", "golden.txt"];
        let finished = author.run_with(&[&arguments[..], &["--update"]].concat(), &environment);
        assert!(finished.text.contains(shown) && finished.text.contains("golden.txt: written"), "{plugin}: {}", finished.text);
        let written = fs::read_to_string(setup.path("golden.txt")).unwrap();
        for text in [&finished.text, &written] {
            for piece in ["s3cret", "czNjcmV0", "flagpost-secret-"] {
                assert!(!text.contains(piece), "{plugin}: `{piece}` in: {text}");
            }
        }
        // The golden file is the same for whoever has another secret.
        fs::write(setup.path("secret.txt"), "bert:another-one").unwrap();
        let finished = author.run_with(&arguments, &[("THE_SECRET", "bert:another-one")]);
        assert!(finished.text.contains("golden.txt: the same"), "{plugin}: {}", finished.text);
        fs::write(setup.path("secret.txt"), secret).unwrap();

        // Without the grant the plugin is told what the relay would tell it.
        let host = exporter.split("POST https://").nth(1).unwrap().split('"').next().unwrap();
        fs::write(setup.path("exporter.yaml"), exporter.replace(&format!("POST https://{host}"), "GET https://other.dev")).unwrap();
        let finished = author.run_with(&arguments[..4], &environment);
        assert!(!finished.status.success() && finished.text.contains(&format!("POST https://{host}")), "{plugin}: {}", finished.text);
    }

    // In a project it has a place of its own, and mistakes have their line.
    author.good(&["new", "--lang", "c", "mine"]);
    fs::copy(first_party("datadog"), setup.path("mine/mine.wasm")).unwrap();
    fs::write(setup.path("mine/test/exporter.yaml"), EXPORTERS[0].1).unwrap();
    fs::write(setup.path("mine/test/config.yaml"), "site: us3.datadoghq.com\n").unwrap();
    let finished = author.run_with(&["test", "mine"], &environment);
    assert!(finished.text.contains("> POST https://http-intake.logs.datadoghq.eu/"), "its own `config`: {}", finished.text);
    // A secret that is not set has a stand-in: nothing is sent anywhere.
    let finished = author.run(&["test", "mine"]);
    assert!(finished.text.contains("    dd-api-key: [secret DD_API_KEY]\n") && !finished.text.contains("made-up"), "{}", finished.text);
    fs::write(setup.path("mine/test/exporter.yaml"), EXPORTERS[0].1.replace("eventType: all", "eventType: al")).unwrap();
    let finished = author.run(&["test", "mine"]);
    assert!(!finished.status.success(), "{}", finished.text);
    for words in ["exporter.yaml:3: ", "eventType"] {
        assert!(finished.text.contains(words), "no `{words}` in: {}", finished.text);
    }
    for (text, words) in [
        ("kind: file\noutputDir: out\n", "expected an exporter of `kind: wasm`"),
        ("secretss: {}\n", "secrets"),
        ("- kind: wasm\n- kind: wasm\n", "expected an exporter's keys, found a list"),
        ("secrets: { K: { file: key, as: reveal } }\n", "which cannot be kept out of what is printed"),
    ] {
        fs::write(setup.path("exporter.yaml"), text).unwrap();
        fs::write(setup.path("key"), "k").unwrap();
        let finished = author.run(&["test", "acme.wasm", "--exporter", "exporter.yaml"]);
        assert!(!finished.status.success() && finished.text.contains(words), "{text}: {}", finished.text);
    }
}

#[test]
fn a_plugin_on_the_full_contract_sends_the_same_and_has_its_configuration_checked() {
    let setup = Setup::new();
    let author = Author::at(setup.directory());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (example, files) = (root.join("examples/exporters/rust-managed"), root.join("examples/exporters/project/test"));
    author.good(&["build", example.to_str().unwrap(), "--output", "managed.wasm"]);
    let file = |name: &str| files.join(name).display().to_string();
    let (config, replies, golden) = (file("config.yaml"), file("replies.yaml"), file("golden.txt"));
    let text = author.good(&["test", "managed.wasm", "--config", &config, "--replies", &replies, "--golden", &golden]);
    assert!(text.contains("golden.txt: the same"), "{text}");

    // A file alone has no configuration; what it wants of one is named.
    let text = author.good(&["validate", "managed.wasm"]);
    assert!(text.contains("managed.wasm: good: ") && text.contains("it needs a `config:`\n  config: "), "{text}");

    let wasm = "  - kind: wasm\n    name: acme\n    path: ./managed.wasm\n    config:\n      endpoint: in.acme.dev\n";
    let setup = setup.with_exporters(wasm);
    let finished = author.run(&["validate", "--config", "flagpost.yaml"]);
    assert!(!finished.status.success());
    assert!(finished.text.contains("config.endpoint: expected an address that begins with https://"), "{}", finished.text);
    let setup = setup.with_exporters(&wasm.replace("endpoint: in.acme.dev", "endpoint: 5\n      kee: k"));
    let finished = author.run(&["validate", "--config", "flagpost.yaml"]);
    for words in ["config.kee: the plugin knows no such key", "config.endpoint"] {
        assert!(finished.text.contains(words), "`{words}`: {}", finished.text);
    }
    assert!(finished.text.contains("line "), "the places are named: {}", finished.text);
    drop(setup);
}

#[test]
fn test_says_what_is_wrong_with_its_files() {
    let (setup, author) = with_example();
    fs::write(setup.path("events.jsonl"), "{\"kind\":\"feature\"}\n{\"kind\":\n").unwrap();
    let finished = author.run(&["test", "acme.wasm", "--events", "events.jsonl"]);
    assert!(!finished.status.success() && finished.text.contains("events.jsonl:2: expected one event"), "{}", finished.text);
    let finished = author.run(&["test", "plugins"]);
    assert!(finished.text.contains("plugins.wasm: is not there; `flagpost plugin build` makes it"), "{}", finished.text);
}

#[test]
fn chaos_shows_what_a_plugin_that_keeps_events_would_lose() {
    let (setup, author) = with_example();
    fs::write(setup.path("config.yaml"), CONFIG).unwrap();
    let text = author.good(&["test", "acme.wasm", "--config", "config.yaml", "--chaos"]);
    assert!(text.contains("12 calls, 0 failed, 24 events acknowledged, 12 requests, 4 instances dropped"), "{text}");
    assert!(text.contains("nothing lost"), "{text}");
    // Says ok and sends nothing.
    fs::write(setup.path("keeps.wasm"), guest(Guest::Takes, true)).unwrap();
    let finished = author.run(&["test", "keeps.wasm", "--chaos"]);
    assert!(!finished.status.success());
    assert!(finished.text.contains("24 of 24 acknowledged events were in no request"), "{}", finished.text);
    assert!(finished.text.contains("chaos-user-0000"), "{}", finished.text);
}

#[test]
fn bench_compares_with_the_built_in_webhook_in_one_run() {
    let (setup, author) = with_example();
    fs::write(setup.path("config.yaml"), CONFIG).unwrap();
    let text = author.good(&["bench", "acme.wasm", "--config", "config.yaml", "--batch", "100", "--millis", "5"]);
    for words in
        ["first start, with compiling", "start out of the cache", "100 events per call, with POST", "the built-in webhook", "ratio", "MiB"]
    {
        assert!(text.contains(words), "`{words}`: {text}");
    }
    assert!(!text.contains("no request reached the sink"), "{text}");
    fs::write(setup.path("keeps.wasm"), guest(Guest::Takes, true)).unwrap();
    let text = author.good(&["bench", "keeps.wasm", "--batch", "10", "--millis", "5"]);
    assert!(text.contains("no request reached the sink"), "{text}");
}

#[tokio::test]
async fn list_and_reload_speak_to_the_running_relay_with_an_admins_key() {
    let target = Target::good().await;
    let setup = Setup::new().with_head("evaluation: none\nauthorizedKeys: { admin: [ boss-key ] }\n");
    setup.plugin("acme.wasm", fs::read(example_plugin()).unwrap());
    let setup = setup.with_exporters(&format!(
        "  - {{ kind: wasm, name: acme, path: acme.wasm, config: {{ endpoint: \"{0}\" }}, allowedHosts: [ \"POST {0}\" ] }}\n  - {{ kind: wasm, name: gone, path: gone.wasm }}",
        target.url("")
    ));
    let author = Author::at(setup.directory());
    let finished = author.run(&["list", "--config", "flagpost.yaml"]);
    assert!(!finished.status.success() && finished.text.contains("is the relay running there?"), "{}", finished.text);

    let relay = Program::start(&setup).await;
    relay.in_state("gone", "invalid").await;
    until("acme runs", async || (relay.exporter("acme").await["plugin"]["state"] == "ready").then_some(())).await;
    let text = author.good(&["list", "--config", "flagpost.yaml"]);
    for words in [
        "acme  ready, generation 1",
        "interface   flagpost:plugin/exporter@0.1.0",
        &format!("may reach   POST {}", target.url("")),
        "gone  invalid",
        "there is no such file",
    ] {
        assert!(text.contains(words), "`{words}`: {text}");
    }
    let listed: Value = serde_json::from_str(&author.good(&["list", "--json", "--config", "flagpost.yaml"])).unwrap();
    assert_eq!(listed["plugins"][0]["limits"]["instances"], 1);

    let text = author.good(&["reload", "acme", "--config", "flagpost.yaml"]);
    assert!(text.contains("acme  ready"), "{text}");
    let finished = author.run(&["reload", "gone", "--config", "flagpost.yaml"]);
    assert!(!finished.status.success() && finished.text.contains("there is no such file"), "{}", finished.text);
    let finished = author.run(&["reload", "other", "--config", "flagpost.yaml"]);
    assert!(!finished.status.success() && finished.text.contains("no plugin `other`; there are: acme, gone"), "{}", finished.text);
    let url = relay.url("");
    let finished = author.run_with(&["list", "--url", &url], &[("FLAGPOST_ADMIN_KEY", "wrong")]);
    assert!(!finished.status.success() && finished.text.contains("401"), "{}", finished.text);
    relay.stop().await;
}
