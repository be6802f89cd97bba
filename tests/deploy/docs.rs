//! README.md and docs/: what they show is taken by the program, what they name is there.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flagpost_tests::{Guest, Program, Setup, Target, events, guest, program_path};

use crate::tools::{out, read, root, run};

/// A fenced block.
struct Block {
    /// Where: `docs/plugins.md:12`.
    place: String,
    language: String,
    text: String,
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.sort();
    pages.insert(0, root().join("README.md"));
    pages
}

fn name(page: &Path) -> String {
    page.strip_prefix(root()).unwrap().display().to_string()
}

/// Everything between fences; those in lists are indented, and are given without it.
fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let (mut open, mut indent): (Option<Block>, usize) = (None, 0);
        for (number, line) in text.lines().enumerate() {
            let line = line.get(indent..).unwrap_or(line.trim_start());
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => {
                    indent = line.len() - line.trim_start().len();
                    open = Some(Block {
                        place: format!("{}:{}", name(&page), number + 1),
                        language: language.trim().to_owned(),
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => {
                    blocks.extend(open.take());
                    indent = 0;
                }
                (Some(block), None) => block.text.extend([line, "\n"]),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", name(&page));
    }
    blocks
}

/// The names in `${NAME}`.
fn variables(text: &str) -> BTreeSet<&str> {
    text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

#[test]
fn every_complete_configuration_in_the_documentation_is_valid() {
    let mut found = 0;
    for block in blocks().into_iter().filter(|block| block.language == "yaml") {
        // Who evaluates is said in every complete one; the others are parts.
        if !block.text.lines().any(|line| line.starts_with("upstream:") || line.starts_with("evaluation:")) {
            continue;
        }
        found += 1;
        let setup = Setup::new();
        fs::write(setup.config(), &block.text).unwrap();
        // Where a certificate is named, it must be there.
        for file in ["tls.crt", "tls.key"] {
            fs::write(setup.path(file), "").unwrap();
        }
        let mut command = Command::new(program_path());
        command.current_dir(setup.directory()).args(["validate", "--config", "flagpost.yaml"]);
        command.envs(variables(&block.text).into_iter().map(|name| (name, name)));
        let valid = run(&mut command);
        assert!(valid.status.success(), "{}: {}\n{}", block.place, valid.text, block.text);
    }
    assert!(found >= 6, "only {found} complete configurations were found");
}

/// What the program's help says, by subcommand.
#[derive(Default)]
struct Help(HashMap<Vec<String>, String>);

impl Help {
    fn of(&mut self, path: &[String]) -> &str {
        self.0.entry(path.to_vec()).or_insert_with(|| out(Command::new(program_path()).args(path).arg("--help")))
    }

    fn subcommands(&mut self, path: &[String]) -> Vec<String> {
        let lines = self.of(path).lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    }

    /// What is wrong with a command line, without the program's name.
    fn problem(&mut self, words: &[&str]) -> Option<String> {
        let mut path: Vec<String> = Vec::new();
        let mut named = false;
        for word in words {
            if let Some(flag) = word.strip_prefix("--") {
                named = true;
                let flag = flag.split('=').next().unwrap();
                let known = self.of(&path).split(|c: char| c.is_whitespace() || c == ',').any(|word| word == format!("--{flag}"));
                if !known {
                    return Some(format!("`--{flag}` is not in the help of `flagpost {}`", path.join(" ")));
                }
            } else if !named && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
                let subcommands = self.subcommands(&path);
                if subcommands.iter().any(|known| known == word) {
                    path.push((*word).to_owned());
                } else if path.is_empty() || !subcommands.is_empty() {
                    return Some(format!("`{word}` is no subcommand of `flagpost {}`", path.join(" ")));
                }
            }
        }
        None
    }
}

/// The command lines of the program in a text: after its name, up to what ends a command.
fn command_lines(text: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split(" #").next().unwrap();
        for (at, _) in line.match_indices("flagpost ") {
            // The program itself, by name or path, at the start of a command; not a service, a volume or an image of that name.
            let before = line[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "/._-".contains(c));
            let starts = before.trim().is_empty()
                || before.trim_end().ends_with(['|', ';', '&', '(', '$'])
                || before.ends_with("-- ")
                || before.ends_with("exec ");
            if starts {
                let rest = &line[at + "flagpost ".len()..];
                let end = rest.find(['|', ';', '&', '>', ')']).unwrap_or(rest.len());
                found.push(rest[..end].split_whitespace().collect());
            }
        }
    }
    found
}

#[test]
fn every_command_in_the_documentation_is_in_the_programs_help() {
    let mut help = Help::default();
    let mut texts: Vec<(String, String)> =
        blocks().into_iter().filter(|block| block.language == "sh").map(|block| (block.place, block.text)).collect();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        // Comments are for those who edit the page.
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with("<!--")) {
            let spans = line.split('`').skip(1).step_by(2).filter(|span| span.starts_with("flagpost "));
            texts.extend(spans.map(|span| (format!("{}:{}", name(&page), number + 1), span.to_owned())));
        }
    }
    let mut found = 0;
    for (place, text) in texts {
        for words in command_lines(&text) {
            found += 1;
            if let Some(problem) = help.problem(&words) {
                panic!("{place}: {problem}: {}", words.join(" "));
            }
        }
    }
    assert!(found >= 10, "only {found} commands were found");
    for wrong in [&["vacuum"][..], &["spool", "chek"], &["drain", "--tiemout", "1s"], &["--confg", "x"]] {
        assert!(help.problem(wrong).is_some(), "{wrong:?} would not be found");
    }
}

#[test]
fn every_link_in_the_documentation_leads_somewhere() {
    let mut all = pages();
    all.extend(["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(|page| root().join(page)));
    for page in &all {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} is not there", name(page));
            if !anchor.is_empty() {
                let headings = fs::read_to_string(&target).unwrap();
                let mut anchors = headings.lines().filter(|line| line.starts_with('#')).map(anchor_of);
                assert!(anchors.any(|known| known == anchor), "{}: no heading for {link}", name(page));
            }
        }
    }
    let readme = read("README.md");
    for page in pages().iter().skip(1) {
        assert!(readme.contains(&format!("]({})", name(page))), "README.md does not lead to {}", name(page));
    }
}

/// The anchor that a heading gets.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_').map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// All functions of all Rust sources that have a name like a test's.
fn tests_in_the_tree() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut places = vec![root().join("host"), root().join("tests")];
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                places.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                // `fn` of an item that is marked as a test.
                let mut marked = false;
                for line in text.lines().map(str::trim_start) {
                    if line.starts_with("#[") {
                        marked |= line.starts_with("#[test") || line.starts_with("#[tokio::test");
                    } else {
                        let function = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "));
                        if marked && let Some((name, _)) = function.and_then(|rest| rest.split_once('(')) {
                            names.insert(name.to_owned());
                        }
                        marked &= line.starts_with("//");
                    }
                }
            }
        }
    }
    names
}

#[test]
fn every_difference_from_upstream_has_a_reason_and_a_test_that_exists() {
    let tests = tests_in_the_tree();
    let text = read("docs/differences.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| What"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 30, "only {} differences were found", rows.len());
    for row in rows {
        let [what, upstream, reason, proofs] = row[..] else { panic!("not four columns: {row:?}") };
        assert!(!what.is_empty() && !upstream.is_empty() && !reason.is_empty(), "{row:?}");
        let proofs: Vec<&str> = proofs.split('`').skip(1).step_by(2).collect();
        assert!(!proofs.is_empty(), "{what}: no test is named");
        for proof in proofs {
            assert!(tests.contains(proof), "{what}: there is no test `{proof}`");
        }
    }
}

/// Names of metrics in a text: `flagpost_` and what follows.
fn metrics(text: &str) -> BTreeSet<&str> {
    let starts = text.match_indices("flagpost_").map(|(at, _)| &text[at..]);
    let words = starts.map(|rest| &rest[..rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len())]);
    // `flagpost_exporter_*` names a family.
    words.filter(|word| !word.ends_with('_')).collect()
}

#[tokio::test]
async fn every_metric_that_the_documentation_names_is_served() {
    let target = Target::good().await;
    let exporters = format!(
        "  - {{ kind: file, name: out, outputDir: out, flushInterval: 20 }}
  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 20 }}
  - {{ kind: wasm, name: acme, path: acme.wasm, flushInterval: 20 }}",
        target.url("/")
    );
    let setup = Setup::new().with_head(&format!("upstream: {{ url: \"{}\" }}\n", target.url(""))).with_exporters(&exporters);
    setup.plugin("acme.wasm", guest(Guest::Takes, true));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    relay.drained(&["out", "hook", "acme"]).await;
    let (_, served) = relay.get("/metrics").await;
    relay.stop().await;
    let families: BTreeSet<&str> = served.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    // Counters are served with `_total`, histograms with three endings.
    let endings = ["", "_total", "_bucket", "_sum", "_count"];
    let mut found = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        // Those of TLS are there where TLS is: tests/e2e/tls.rs asks for them.
        for metric in metrics(&text).into_iter().filter(|metric| !metric.starts_with("flagpost_tls_")) {
            found += 1;
            let known = endings
                .iter()
                .any(|ending| metric.strip_suffix(ending).is_some_and(|family| families.contains(family) || families.contains(metric)));
            assert!(known, "{}: `{metric}` is not in /metrics", name(&page));
        }
    }
    assert!(found >= 10, "only {found} metrics were found");
}

/// So that no kind has anything else to complain about.
const EVERY_MANDATORY_KEY: &str = "outputDir: out, endpointUrl: \"http://localhost:9/\", bucket: b, container: c, accountName: a, projectID: p, \
                                   topic: t, datasetID: d, queueUrl: \"http://localhost:9/q\", streamName: s, kafka: { topic: t, addresses: [ \"a:1\" ] }";

#[test]
fn each_of_upstreams_kinds_is_served_and_has_its_section() {
    let page = read("docs/exporters.md");
    let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
    let readme = read("README.md");
    let examples: Vec<Block> =
        blocks().into_iter().filter(|block| block.place.starts_with("README.md:") && block.language == "yaml").collect();
    let upstreams = [
        "file",
        "webhook",
        "log",
        "s3",
        "kinesis",
        "googleStorage",
        "sqs",
        "kafka",
        "pubsub",
        "bigquery",
        "azureBlobStorage",
        "opentelemetry",
    ];
    for kind in upstreams {
        let setup = Setup::new().with_exporters(&format!("  - {{ kind: {kind}, {EVERY_MANDATORY_KEY} }}"));
        let finished = run(Command::new(program_path()).current_dir(setup.directory()).args(["validate", "--config", "flagpost.yaml"]));
        assert!(!finished.text.contains("was left out of this build"), "{kind}: {}", finished.text);
        assert!(headings.iter().any(|heading| heading.contains(&format!("`{kind}`"))), "{kind} has no section");
        // README.md: a row with all five columns, and a complete configuration (which is valid, see above).
        let row = readme.lines().find(|line| line.starts_with(&format!("| [`{kind}`](docs/exporters.md#")));
        assert_eq!(row.map(|row| row.split(" | ").count()), Some(5), "{kind} has no row in README.md");
        let complete = |block: &&Block| block.text.starts_with("evaluation:") && block.text.contains(&format!("- kind: {kind}\n"));
        assert_eq!(examples.iter().filter(complete).count(), 1, "{kind} has no example in README.md");
    }
}

/// docs/plugins.md as somebody who follows it: its commands are run, its configuration is started.
#[tokio::test]
async fn the_authors_hour_ends_with_delivered_events() {
    let all: Vec<Block> = blocks().into_iter().filter(|block| block.place.starts_with("docs/plugins.md:")).collect();
    let block = |language: &str, starts: &str| {
        let found = all.iter().find(|block| block.language == language && block.text.starts_with(starts));
        &found.unwrap_or_else(|| panic!("no block {language} that starts with {starts}")).text
    };
    let desk = tempfile::tempdir().unwrap();
    let shell = |directory: &Path, commands: &str| {
        let mut shell = Command::new("sh");
        // The author's machine has no target directory of flagpost's, and is in no repository.
        let path = format!("{}:{}", program_path().parent().unwrap().display(), std::env::var("PATH").unwrap());
        shell.current_dir(directory).env("FLAGPOST", root()).env("PATH", path).env_remove("CARGO_TARGET_DIR").args(["-euc", commands]);
        let done = run(&mut shell);
        assert!(done.status.success(), "{commands}\n{}", done.text);
    };
    shell(desk.path(), block("sh", "flagpost plugin new"));
    shell(desk.path(), block("sh", "flagpost plugin test"));
    shell(desk.path(), block("sh", "mkdir -p plugins"));

    let target = Target::good().await;
    let setup = Setup::new();
    setup.plugin("acme.wasm", fs::read(desk.path().join("plugins/acme.wasm")).unwrap());
    let address = target.url("").trim_start_matches("http://").to_owned();
    let config = block("yaml", "# flagpost.yaml").replace("127.0.0.1:9000", &address).replace("store }", "store, minFree: 1MiB }");
    fs::write(setup.config(), format!("server: {{ host: 127.0.0.1, port: {} }}\n{config}", setup.port)).unwrap();
    let relay = Program::start(&setup).await;
    relay.post(&events(1..4)).await;
    let counts = relay.drained(&["acme"]).await.counts("acme");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (3, 0, 0));
    let received = target.received().remove(0);
    let body: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!((&body[0]["userKey"], &body[0]["key"]), (&serde_json::json!("u-1"), &serde_json::json!("flag-1")));
    assert_eq!(received.headers["authorization"], "Bearer abc");
    relay.stop().await;
}
