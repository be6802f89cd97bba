//! deploy/helm/flagpost: rendered, checked against Kubernetes' own schemas, and its configuration by flagpost itself.
//!
//! What no test here can say: whether a cluster's admission rules and storage like it. ServiceMonitor is a custom resource, whose schema
//! nothing offline has: only its selector is checked.

use std::fs;
use std::process::Command;

use flagpost_tests::{Finished, Setup, program_path};
use serde_json::{Value, json};

use crate::tools::{read, root, run, tool, yaml};

/// Everything that is off by default, on.
const FULL: &str = r#"
replicaCount: 3
image: { repository: registry.acme.dev/flagpost, digest: "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
imagePullSecrets: [ { name: acme } ]
configKind: ConfigMap
config:
  server: { port: 8080 }
  upstream: { url: "http://relay:1031" }
  exporters:
    - { kind: webhook, name: hook, endpointUrl: "https://hooks.acme.dev/flags", secret: "${WEBHOOK_SECRET}" }
    - { kind: wasm, name: acme, path: acme.wasm, allowedHosts: [ "POST https://in.acme.dev" ] }
env: [ { name: WEBHOOK_SECRET, valueFrom: { secretKeyRef: { name: hooks, key: secret } } } ]
envFrom: [ { secretRef: { name: cloud } } ]
persistence: { storageClassName: fast, accessModes: [ReadWriteOncePod], size: 20Gi, annotations: { a: b } }
plugins: { volume: { persistentVolumeClaim: { claimName: plugins, readOnly: true } } }
extraVolumes: [ { name: tls, secret: { secretName: flagpost-tls } } ]
extraVolumeMounts: [ { name: tls, mountPath: /tls, readOnly: true } ]
networkPolicy:
  enabled: true
  from: [ { namespaceSelector: { matchLabels: { team: web } } } ]
  egress: [ { to: [ { ipBlock: { cidr: 10.0.0.0/8 } } ], ports: [ { port: 443 } ] } ]
serviceMonitor: { enabled: true, labels: { release: prometheus } }
serviceAccount: { annotations: { "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/flagpost" } }
podAnnotations: { a: b }
podLabels: { c: d }
nodeSelector: { disk: ssd }
tolerations: [ { key: dedicated, operator: Exists } ]
affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } }
topologySpreadConstraints: [ { maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway } ]
priorityClassName: high
"#;

/// `helm template` with values on top of the chart's own.
fn template(values: &str) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("values.yaml");
    fs::write(&file, values).unwrap();
    let mut command = Command::new(tool("helm"));
    command.current_dir(root()).args([
        "template",
        "shop",
        "deploy/helm/flagpost",
        "--namespace",
        "flags",
        "--kube-version",
        "1.34.0",
        "--values",
    ]);
    run(command.arg(file))
}

fn render(values: &str) -> (String, Vec<Value>) {
    let rendered = template(values);
    assert!(rendered.status.success(), "{}", rendered.text);
    let documents = yaml(&rendered.text);
    (rendered.text, documents)
}

fn only<'d>(documents: &'d [Value], kind: &str) -> &'d Value {
    let mut found = documents.iter().filter(|document| document["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    first
}

/// Every document but custom resources, against the schemas of a Kubernetes release, unknown keys refused.
fn assert_kubernetes_takes(text: &str, version: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rendered.yaml");
    let native: Vec<&str> = text.split("\n---\n").filter(|document| !document.contains("monitoring.coreos.com")).collect();
    fs::write(&file, native.join("\n---\n")).unwrap();
    let checked = run(Command::new(tool("python/bin/kubernetes-validate")).args(["--strict", "-k", version]).arg(file));
    assert!(checked.status.success(), "{}", checked.text);
    assert!(checked.text.contains("passed for resource statefulset/"), "{}", checked.text);
}

/// flagpost takes the configuration that the chart renders.
fn assert_flagpost_takes(config: &str) {
    let setup = Setup::new();
    fs::write(setup.config(), config).unwrap();
    let mut command = Command::new(program_path());
    command.current_dir(setup.directory()).env("WEBHOOK_SECRET", "s").args(["validate", "--config", "flagpost.yaml"]);
    let valid = run(&mut command);
    assert!(valid.status.success(), "{}\n{config}", valid.text);
}

#[test]
fn the_chart_passes_helm_lint() {
    for values in ["{}", FULL, "drain: { enabled: true }"] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("values.yaml");
        fs::write(&file, values).unwrap();
        let mut command = Command::new(tool("helm"));
        command.current_dir(root()).args(["lint", "--strict", "deploy/helm/flagpost", "--kube-version", "1.34.0", "--values"]);
        let linted = run(command.arg(file));
        assert!(linted.status.success(), "{}", linted.text);
    }
}

#[test]
fn kubernetes_takes_what_the_chart_renders() {
    for values in ["{}", FULL, "{ replicaCount: 2, drain: { enabled: true } }"] {
        let (text, _) = render(values);
        for version in ["1.27.0", "1.37.0"] {
            assert_kubernetes_takes(&text, version);
        }
    }
}

#[test]
fn the_schema_check_would_find_a_mistake() {
    let (text, _) = render("{}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rendered.yaml");
    fs::write(&file, text.replace("serviceName:", "serviceNam:")).unwrap();
    let checked = run(Command::new(tool("python/bin/kubernetes-validate")).args(["--strict"]).arg(file));
    assert!(!checked.status.success(), "{}", checked.text);
}

#[test]
fn flagpost_takes_the_configuration_that_the_chart_renders() {
    let (_, documents) = render("{}");
    assert_flagpost_takes(only(&documents, "Secret")["stringData"]["flagpost.yaml"].as_str().unwrap());
    let (_, documents) = render(FULL);
    assert_flagpost_takes(only(&documents, "ConfigMap")["data"]["flagpost.yaml"].as_str().unwrap());
    let (_, documents) = render("config: { upstream: null, evaluation: none }");
    assert_flagpost_takes(only(&documents, "Secret")["stringData"]["flagpost.yaml"].as_str().unwrap());
}

#[test]
fn the_pod_is_locked_down_probed_and_given_the_time_to_deliver() {
    let (_, documents) = render("{}");
    let pod = &only(&documents, "StatefulSet")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
    assert_eq!((&pod["securityContext"]["runAsNonRoot"], &pod["securityContext"]["runAsUser"]), (&json!(true), &json!(65532)));
    assert!(read("deploy/Dockerfile").contains("USER 65532:65532"), "the image's user");
    assert_eq!(container["livenessProbe"]["httpGet"], json!({ "path": "/health/live", "port": "http", "scheme": "HTTP" }));
    assert_eq!(container["readinessProbe"]["httpGet"], json!({ "path": "/health/ready", "port": "http", "scheme": "HTTP" }));
    // 20 s of shutdownTimeout.
    assert_eq!(pod["terminationGracePeriodSeconds"], 45);
    let mounts: Vec<&str> =
        container["volumeMounts"].as_array().unwrap().iter().map(|mount| mount["mountPath"].as_str().unwrap()).collect();
    assert_eq!(mounts, ["/var/lib/flagpost", "/etc/flagpost"]);
    let claims = only(&documents, "StatefulSet")["spec"]["volumeClaimTemplates"].as_array().unwrap();
    assert_eq!((claims.len(), &claims[0]["metadata"]["name"]), (1, &json!("store")));
}

#[test]
fn health_and_metrics_move_with_the_monitoring_port() {
    let (_, documents) =
        render("{ config: { server: { monitoringPort: 9090 } }, serviceMonitor: { enabled: true }, networkPolicy: { enabled: true } }");
    let container = &only(&documents, "StatefulSet")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"], json!([{ "name": "http", "containerPort": 1031 }, { "name": "monitoring", "containerPort": 9090 }]));
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "monitoring", "{probe}");
    }
    assert_eq!(only(&documents, "ServiceMonitor")["spec"]["endpoints"][0]["port"], "monitoring");
    assert_eq!(only(&documents, "NetworkPolicy")["spec"]["ingress"][0]["ports"], json!([{ "port": "http" }, { "port": "monitoring" }]));
}

#[test]
fn probes_speak_tls_where_the_collectors_port_does() {
    for (values, scheme) in [("", "HTTPS"), (", monitoringPort: 9090", "HTTP")] {
        let (_, documents) = render(&format!("config: {{ server: {{ tls: {{ cert: /tls/tls.crt, key: /tls/tls.key }}{values} }} }}"));
        let container = &only(&documents, "StatefulSet")["spec"]["template"]["spec"]["containers"][0];
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["scheme"], scheme, "{probe}");
        }
    }
}

#[test]
fn everything_selects_the_relays_pods_and_the_monitor_selects_one_service() {
    let (_, documents) = render(FULL);
    let labels = only(&documents, "StatefulSet")["spec"]["template"]["metadata"]["labels"].as_object().unwrap();
    let fits = |selector: &Value, labels: &serde_json::Map<String, Value>| {
        selector.as_object().unwrap().iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let services: Vec<&Value> = documents.iter().filter(|document| document["kind"] == "Service").collect();
    assert_eq!(services.len(), 2);
    assert!(services.iter().all(|service| fits(&service["spec"]["selector"], labels)));
    for kind in ["PodDisruptionBudget", "StatefulSet"] {
        assert!(fits(&only(&documents, kind)["spec"]["selector"]["matchLabels"], labels), "{kind}");
    }
    let monitored = &only(&documents, "ServiceMonitor")["spec"]["selector"]["matchLabels"];
    let found = services.iter().filter(|service| fits(monitored, service["metadata"]["labels"].as_object().unwrap()));
    assert_eq!(found.count(), 1, "metrics are not scraped twice");
    assert_eq!(only(&documents, "StatefulSet")["spec"]["serviceName"], services[1]["metadata"]["name"]);
}

#[test]
fn a_drain_scales_to_zero_keeps_the_volumes_and_runs_one_job_for_each() {
    let (_, documents) = render("{ replicaCount: 2, persistence: { whenScaled: Delete }, drain: { enabled: true, timeout: 2h } }");
    let set = &only(&documents, "StatefulSet")["spec"];
    assert_eq!((&set["replicas"], &set["persistentVolumeClaimRetentionPolicy"]["whenScaled"]), (&json!(0), &json!("Retain")));
    let jobs: Vec<&Value> = documents.iter().filter(|document| document["kind"] == "Job").collect();
    assert_eq!(jobs.len(), 2);
    for (ordinal, job) in jobs.iter().enumerate() {
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["args"], json!(["drain", "--config", "/etc/flagpost/flagpost.yaml", "--timeout", "2h"]));
        // <template>-<set>-<ordinal>: how a StatefulSet names its claims.
        assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], format!("store-shop-flagpost-{ordinal}"));
        assert_eq!(only(&documents, "StatefulSet")["metadata"]["name"], "shop-flagpost");
    }
}

#[test]
fn values_that_would_lose_events_or_mean_nothing_are_refused() {
    let cases = [
        ("{ config: { shutdownTimeout: 1m30s } }", "must be longer than config.shutdownTimeout (90 s)"),
        ("terminationGracePeriodSeconds: 20", "must be longer than config.shutdownTimeout (20 s)"),
        ("{ config: { buffer: { path: /data } } }", "config.buffer.path must be /var/lib/flagpost"),
        ("replicas: 3", "replicas"),
        ("replicaCount: three", "replicaCount"),
        ("{ persistence: { size: big } }", "size"),
        ("{ config: { server: { port: 70000 } } }", "port"),
    ];
    for (values, words) in cases {
        let rendered = template(values);
        assert!(!rendered.status.success(), "{values} was rendered");
        assert!(rendered.text.contains(words), "{values}: no `{words}` in:\n{}", rendered.text);
    }
}
