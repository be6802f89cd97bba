//! What the YAML grants a plugin, it has: files, sockets, numbers in `/metrics`. What it does not grant is asked in `tests/evil`.

use std::fs;

use flagpost_tests::{Program, Setup, events, probe_plugin, until};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

/// A relay with the probe, which does this with these grants.
async fn probing(setup: Setup, config: &str, grants: &str) -> (Setup, Program) {
    let setup = setup.with_exporters(&format!(
        "  - {{ kind: wasm, name: probe, path: probe.wasm, flushInterval: 20, retry: {{ initial: 5ms, max: 50ms }}, config: {config}, {grants} }}"
    ));
    setup.plugin("probe.wasm", fs::read(probe_plugin()).unwrap());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..2)).await;
    (setup, relay)
}

/// Waits for what the probe says.
async fn says(relay: &Program, words: &str) {
    until(&format!("the probe says {words}"), async || {
        let message = relay.exporter("probe").await["lastError"]["message"].as_str().unwrap_or_default().to_owned();
        message.contains(words).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_granted_directory_is_read_and_never_written() {
    let setup = Setup::new();
    fs::create_dir(setup.path("lookup")).unwrap();
    fs::write(setup.path("lookup/names.csv"), "a,b").unwrap();
    let (setup, relay) = probing(setup, "{ do: read, file: /data/names.csv }", "files: { /data: lookup }").await;
    // Read; not written over, no new file, not removed; and no other directory.
    says(&relay, r#"[{"Ok":"a,b"},false,false,false,false]"#).await;
    assert_eq!(fs::read_to_string(setup.path("lookup/names.csv")).unwrap(), "a,b");
    assert_eq!(fs::read_dir(setup.path("lookup")).unwrap().count(), 1);
    assert!(relay.exporter("probe").await["plugin"]["grants"]["files"]["/data"].is_string());
    relay.stop().await;
}

#[tokio::test]
async fn a_granted_socket_connects_and_another_port_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            stream.write_all(format!("you said {line}").as_bytes()).await.unwrap();
        }
    });
    let config = format!("{{ do: socket, address: \"{address}\" }}");
    let grant = format!("allowedSockets: [ \"tcp://{address}\" ]");
    let (_setup, relay) = probing(Setup::new(), &config, &grant).await;
    says(&relay, r#"{"Ok":"you said hello\n"}"#).await;
    assert_eq!(relay.metrics().await.sum("flagpost_plugin_sockets_denied_total", &[]), 0.0);
    relay.stop().await;

    let (_setup, relay) = probing(Setup::new(), &config, "allowedSockets: [ \"tcp://127.0.0.1:9\" ]").await;
    says(&relay, "Err").await;
    let task = relay.exporter("probe").await;
    let denial = task["plugin"]["lastDenial"].as_str().unwrap_or_default();
    assert!(denial.contains(&format!("allowedSockets: [ \"tcp://{address}\" ]")), "{task}");
    assert!(relay.metrics().await.sum("flagpost_plugin_sockets_denied_total", &[]) >= 1.0);
    relay.stop().await;
    server.abort();
}

#[tokio::test]
async fn a_plugins_own_numbers_are_in_the_metrics_under_its_exporters_labels() {
    let (_setup, relay) = probing(Setup::new(), "{ do: count, times: 3 }", "").await;
    says(&relay, "null").await;
    // A scrape may fall into a call.
    until("they are counted", async || {
        let metrics = relay.metrics().await;
        let of = |n| [("exporter", "probe"), ("event_type", "feature"), ("n", n)];
        let counted = ["0", "1", "2"].map(|n| metrics.sum("flagpost_plugin_custom_rows_total", &of(n)));
        let lag = metrics.sum("flagpost_plugin_custom_lag", &[("exporter", "probe")]);
        let even = counted[0] >= 2.5 && counted[0] % 2.5 == 0.0 && counted.iter().all(|count| *count == counted[0]);
        (even && lag == 4.0).then_some(())
    })
    .await;
    relay.stop().await;
}
