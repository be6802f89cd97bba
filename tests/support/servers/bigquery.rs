//! BigQuery as bqemulator has it: REST and the Storage Write API over DuckDB. Tables outlive it, write streams do not. It checks no credentials,
//! knows no insertId, and PATCH changes what a table is said to have, not what it has: [`BigQuery::add_column`] does.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::controlled;
use super::{Process, Running, Toxiproxy, given, installed, unique};
use crate::client;
use crate::setup::free_port;

/// A server.
#[derive(Debug)]
pub struct BigQuery {
    rest: String,
    grpc: String,
    ours: Option<Ours>,
}

#[derive(Debug)]
struct Ours {
    directory: TempDir,
    home: PathBuf,
    /// REST, gRPC, and where the fault proxy before gRPC listens.
    ports: [u16; 3],
    process: Running,
}

/// A row: columns by name, as text, `None` where they are null.
pub type Row = BTreeMap<String, Option<String>>;

/// The server of all tests: `FLAGPOST_TEST_BIGQUERY_URL` (`http://host:rest,http://host:grpc`), or ours. `None`: skipped.
pub async fn shared() -> Option<Arc<BigQuery>> {
    static SHARED: OnceCell<Option<Arc<BigQuery>>> = OnceCell::const_new();
    let start = async || match given("bigquery") {
        Some(urls) => {
            let (rest, grpc) = urls.split_once(',').expect("two addresses");
            Some(Arc::new(BigQuery { rest: rest.to_owned(), grpc: grpc.to_owned(), ours: None }))
        }
        None => own().await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, to be killed and stopped. `None`: skipped.
pub async fn own() -> Option<BigQuery> {
    let home = installed("bqemulator")?;
    let ports: [u16; 3] = std::array::from_fn(|_| free_port());
    let ours = Ours { directory: tempfile::tempdir().unwrap(), home, ports, process: Running::default() };
    tokio::task::block_in_place(|| ours.run());
    let [rest, grpc, _] = ports.map(|port| format!("http://127.0.0.1:{port}"));
    Some(BigQuery { rest, grpc, ours: Some(ours) })
}

controlled!(BigQuery, ours().process);

impl BigQuery {
    /// Where the REST API is.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// Where the Storage Write API is.
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Where the Storage Write API is through [`BigQuery::proxy`].
    pub fn proxied(&self) -> String {
        format!("http://127.0.0.1:{}", self.ours().ports[2])
    }

    /// A fault proxy before the Storage Write API. `None`: skipped.
    pub async fn proxy(&self) -> Option<Toxiproxy> {
        let ours = self.ours();
        Toxiproxy::before(ours.directory.path(), ours.ports[2], ours.ports[1]).await
    }

    fn ours(&self) -> &Ours {
        self.ours.as_ref().expect("the test needs a server of its own")
    }

    /// The id of a dataset that nobody has.
    pub fn unused_dataset() -> String {
        unique("flags").replace('-', "_")
    }

    /// Makes a dataset with an id of its own.
    pub async fn dataset(&self) -> String {
        let id = BigQuery::unused_dataset();
        let body = json!({ "datasetReference": { "projectId": "p", "datasetId": id } });
        self.post("datasets", &body).await;
        id
    }

    /// Makes a table with columns of that name and type.
    pub async fn make_table(&self, dataset: &str, table: &str, columns: &[(&str, &str)]) {
        let fields: Vec<Value> = columns.iter().map(|(name, of)| json!({ "name": name, "type": of })).collect();
        let reference = json!({ "projectId": "p", "datasetId": dataset, "tableId": table });
        self.post(&format!("datasets/{dataset}/tables"), &json!({ "tableReference": reference, "schema": { "fields": fields } })).await;
    }

    /// Adds a column to a table's data.
    pub async fn add_column(&self, dataset: &str, table: &str, name: &str, of: &str) {
        self.sql(&format!("ALTER TABLE {dataset}.{table} ADD COLUMN {name} {of}")).await;
    }

    /// What a table is said to have: names and types of its columns. `None`: there is none.
    pub async fn columns(&self, dataset: &str, table: &str) -> Option<Vec<(String, String)>> {
        let answer = client().get(self.url(&format!("datasets/{dataset}/tables/{table}"))).send().await.unwrap();
        if answer.status() == 404 {
            return None;
        }
        let table: Value = answer.json().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Some(table["schema"]["fields"].as_array().unwrap().iter().map(|field| (text(&field["name"]), text(&field["type"]))).collect())
    }

    /// Removes a table.
    pub async fn drop_table(&self, dataset: &str, table: &str) {
        let answer = client().delete(self.url(&format!("datasets/{dataset}/tables/{table}"))).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// The rows that a statement gives.
    pub async fn sql(&self, query: &str) -> Vec<Row> {
        let answer = self.post("queries", &json!({ "query": query, "useLegacySql": false, "maxResults": 1_000_000 })).await;
        assert!(answer["errors"].is_null(), "{query}: {answer}");
        let names: Vec<&str> = answer["schema"]["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
        let cell = |cell: &Value| cell["v"].as_str().map(str::to_owned);
        let row = |row: &Value| names.iter().map(|&name| name.to_owned()).zip(row["f"].as_array().unwrap().iter().map(cell)).collect();
        let rows: Vec<Row> = answer["rows"].as_array().map(|rows| rows.iter().map(row).collect()).unwrap_or_default();
        assert_eq!(answer["totalRows"], rows.len().to_string(), "all at once");
        rows
    }

    /// How many rows a table has.
    pub async fn count(&self, dataset: &str, table: &str) -> u64 {
        self.sql(&format!("SELECT COUNT(*) AS n FROM {dataset}.{table}")).await[0]["n"].as_ref().unwrap().parse().unwrap()
    }

    /// Write streams of a dataset: their names and states.
    pub async fn streams(&self, dataset: &str) -> Vec<(String, String)> {
        let answer: Value = client().get(format!("{}/admin/streams", self.rest)).send().await.unwrap().json().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let streams = answer["writeStreams"].as_array().unwrap().iter();
        streams.filter(|stream| stream["datasetId"] == dataset).map(|stream| (text(&stream["name"]), text(&stream["state"]))).collect()
    }

    /// Ends all write streams of a dataset.
    pub async fn finalize(&self, dataset: &str) {
        let streams = self.streams(dataset).await.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let (ours, address) = (self.ours(), self.grpc.trim_start_matches("http://").to_owned());
        let program = ours.home.join("python/bin/python");
        let mut command = Command::new(program);
        command.arg(ours.home.join("finalize.py")).arg(address).args(streams);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn url(&self, path: &str) -> String {
        format!("{}/bigquery/v2/projects/p/{path}", self.rest)
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = client().post(self.url(path)).json(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Starts it again, with the same tables on the same ports.
    pub async fn restart(&self) {
        tokio::task::block_in_place(|| self.ours().run());
    }
}

impl Ours {
    fn run(&self) {
        let log = self.directory.path().join("log");
        let from = fs::metadata(&log).map_or(0, |log| log.len() as usize);
        let data = self.directory.path().join("data");
        fs::create_dir_all(&data).unwrap();
        let home = self.home.display();
        let arguments = [
            format!("HOME={home}/home"),
            format!("{home}/python/bin/python"),
            format!("{home}/serve.py"),
            "start".to_owned(),
            format!("--rest-port={}", self.ports[0]),
            format!("--grpc-port={}", self.ports[1]),
            "--persistent".to_owned(),
            format!("--data-dir={}", data.display()),
            "--project=p".to_owned(),
            "--enable-admin".to_owned(),
            "--log-format=json".to_owned(),
        ];
        let mut process = Process::start("env".as_ref(), &arguments, &log);
        process.wait_for("grpc.listen", from);
        self.process.set(process);
    }
}
