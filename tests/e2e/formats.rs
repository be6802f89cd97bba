//! Files in CSV and Parquet, read back by other people's programs.

use flagpost_tests::{Program, Setup, flagpost};
use serde_json::{Value, json};

use crate::readers::read_back;

/// Values that other writers lose: nulls, nesting, numbers at the edges, texts that look like something else.
fn value(number: usize) -> Value {
    match number % 11 {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(number),
        3 => json!(-1.5e-7),
        4 => json!("text"),
        5 => json!(9_007_199_254_740_993_u64),
        6 => json!({ "a": [1, null, { "b": "é <&> \u{2028} 🚀" }], "": "" }),
        7 => json!([]),
        8 => json!("null"),
        9 => json!(1.797_693_134_862_315_7e308),
        _ => json!("line\nfeed, \"quotes\"; ключ"),
    }
}

fn metadata(number: usize) -> Value {
    match number % 4 {
        0 => json!({}),
        1 => json!({ "text": "plain", "n": number, "yes": true, "nothing": null }),
        2 => json!({ "nested": { "list": [1.5, "x", null] }, "é": "Zoë", "quoted": "\"12\"" }),
        _ => json!({ "": "empty name", "big": 18_446_744_073_709_551_615_u64 }),
    }
}

/// Names with a long common start, so that shortened statistics are put to the test.
fn user(number: usize) -> String {
    match number % 5 {
        0 => String::new(),
        1 => format!("{}-{number}", "a long start that many names have in common, longer than any statistics ".repeat(2)),
        2 => format!("ключ-🚀-{}", number % 97),
        3 => format!("u-{}", number % 13),
        _ => "\u{10ffff}".to_owned(),
    }
}

pub(crate) fn feature(number: usize) -> String {
    let context = if number.is_multiple_of(3) { "anonymousUser" } else { "user" };
    let mut event = json!({
        "kind": "feature", "contextKind": context, "userKey": user(number), "creationDate": 1_700_000_000 + number, "key": format!("flag-{number}"),
        "variation": format!("v{}", number % 3), "value": value(number), "default": number.is_multiple_of(2), "version": number.to_string(), "source": "SERVER",
    });
    if metadata(number) != json!({}) {
        event["metadata"] = metadata(number);
    }
    event.to_string()
}

fn tracking(number: usize) -> String {
    json!({
        "kind": "tracking", "contextKind": "user", "userKey": user(number), "creationDate": 1_700_000_000, "key": format!("track-{number}"),
        "evaluationContext": if number.is_multiple_of(7) { Value::Null } else { metadata(number) }, "trackingEventDetails": metadata(number + 1),
    })
    .to_string()
}

#[tokio::test]
async fn parquet_of_every_codec_reads_back_in_pyarrow_and_duckdb_with_equality_queries() {
    const CODECS: [&str; 6] = ["SNAPPY", "GZIP", "ZSTD", "BROTLI", "LZ4_RAW", "UNCOMPRESSED"];
    let exporters: Vec<String> = CODECS
        .iter()
        .map(|codec| {
            let common = format!("kind: file, format: Parquet, parquetCompressionCodec: {codec}, flushInterval: 50");
            format!(
                "  - {{ {common}, name: f-{codec}, outputDir: f-{codec} }}\n  - {{ {common}, name: t-{codec}, outputDir: t-{codec}, eventType: tracking }}"
            )
        })
        .collect();
    let setup = Setup::new().with_exporters(&exporters.join("\n"));
    let relay = Program::start(&setup).await;
    let features: Vec<String> = (0..700).map(feature).collect();
    let tracks: Vec<String> = (0..300).map(tracking).collect();
    for part in features.chunks(350).chain(tracks.chunks(150)) {
        relay.post(part).await;
    }
    let names: Vec<String> = CODECS.iter().flat_map(|codec| [format!("f-{codec}"), format!("t-{codec}")]).collect();
    relay.drained(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for codec in CODECS {
        read_back("parquet", &setup.path(&format!("f-{codec}")), &features);
        read_back("parquet", &setup.path(&format!("t-{codec}")), &tracks);
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_large_parquet_file_has_many_pages_and_answers_equality_queries() {
    let exporter = "  - { kind: file, name: out, format: parquet, outputDir: out, flushInterval: 600000, maxEventInMemory: 40000 }";
    let setup = Setup::new().with_exporters(exporter);
    let relay = Program::start(&setup).await;
    let events: Vec<String> = (0..40_000).map(feature).collect();
    for part in events.chunks(5_000) {
        relay.post(part).await;
    }
    relay.drained(&["out"]).await;
    let said = read_back("parquet", &setup.path("out"), &events);
    assert!(said.contains("40000 rows"), "{said}");
    relay.stop().await;
}

#[tokio::test]
async fn csv_reads_back_in_python_and_duckdb() {
    let exporters = r#"
  - { kind: file, name: quoted, outputDir: quoted, format: CSV, csvQuote: true, flushInterval: 50, csvTemplate: "{{ .Version }},{{ .UserKey }},{{ json .Value }},{{ .Metadata | json }}\n" }
  - { kind: file, name: plain, outputDir: plain, format: csv, flushInterval: 50 }
  - { kind: file, name: tracks, outputDir: tracks, format: csv, flushInterval: 50, eventType: tracking }
  - { kind: file, name: growing, outputDir: growing, format: csv, flushInterval: 50, filename: "all.{{ .Format}}" }"#;
    let setup = Setup::new().with_exporters(exporters);
    let relay = Program::start(&setup).await;
    // Values without separators: nothing is quoted by upstream's default.
    let plain = |event: String| event.replace("line\\nfeed, \\\"quotes\\\"; ключ", "plain");
    let features: Vec<String> = (0..500).map(feature).map(plain).collect();
    let tracks: Vec<String> = (0..200).map(tracking).collect();
    for part in features.chunks(100).chain(tracks.chunks(100)) {
        relay.post(part).await;
    }
    relay.drained(&["quoted", "plain", "tracks", "growing"]).await;
    read_back("csv", &setup.path("quoted"), &features);
    read_back("plain", &setup.path("plain"), &features);
    read_back("plain", &setup.path("growing"), &features);
    read_back("plain", &setup.path("tracks"), &tracks);
    assert_eq!(std::fs::read_dir(setup.path("growing")).unwrap().count(), 1);
    relay.stop().await;
}

#[tokio::test]
async fn an_event_that_a_template_cannot_write_goes_to_the_dead_letters_alone() {
    let exporter = r#"  - { kind: file, name: out, outputDir: out, format: csv, flushInterval: 50, csvTemplate: "{{ .Version }} {{ index .Metadata.list 1 }}\n" }"#;
    let setup = Setup::new().with_exporters(exporter);
    let relay = Program::start(&setup).await;
    let event = |number: usize| {
        let list = if number == 33 { json!([1]) } else { json!([1, number]) };
        let mut event: Value = serde_json::from_str(&feature(number)).unwrap();
        event["metadata"] = json!({ "list": list });
        event.to_string()
    };
    let events: Vec<String> = (0..200).map(event).collect();
    relay.post(&events).await;
    let metrics = relay.drained(&["out"]).await;
    let counts = metrics.counts("out");
    assert_eq!((counts.delivered, counts.dead), (199, 1), "{counts:?}");
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(setup.path("out")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        numbers.extend(text.lines().map(|line| line.split_once(' ').map(|(number, _)| number.parse::<usize>().unwrap()).unwrap()));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).filter(|number| *number != 33).collect::<Vec<_>>());
    relay.stop().await;
}

#[tokio::test]
async fn a_wrong_format_is_a_problem_of_the_configuration_with_its_line_and_place() {
    let exporters = r#"
  - { kind: file, name: a, outputDir: a, format: csv, csvTemplate: "{{ .Key }};{{ .Nope }}" }
  - { kind: file, name: b, outputDir: b, format: csv, eventType: tracking, csvTemplate: "{{ .Value }}" }
  - { kind: log, name: c, logFormat: "{{ if .Key }}" }
  - { kind: file, name: d, outputDir: d, parquetCompressionCodec: LZ4 }
  - { kind: file, name: e, outputDir: e, format: parquet, filename: "all.parquet" }"#;
    let setup = Setup::new().with_exporters(exporters);
    let config = setup.config();
    let finished = flagpost(&setup, &["validate", "--config", config.to_str().unwrap()]);
    assert!(!finished.status.success(), "{}", finished.text);
    for expected in [
        "exporters[0].csvTemplate: line 1, column 15: feature events have no field `.Nope`",
        "exporters[1].csvTemplate: line 1, column 4: tracking events have no field `.Value`",
        "exporters[2].logFormat: line 1, column 4: if without {{end}}",
        "exporters[3].parquetCompressionCodec: exporter at index 3 validation failed: invalid exporter: \"parquetCompressionCodec\" err: LZ4 has no \
         interoperable form: use LZ4_RAW",
        "exporters[4].filename: a Parquet file cannot grow",
    ] {
        assert!(finished.text.contains(expected), "{expected}\n{}", finished.text);
    }
}
