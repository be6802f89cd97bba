//! A guest of the full contract. It asks for the encoding that the file's configuration cannot decide (it is described before it is configured):
//! JSON lines. What it does with a batch is what its configuration's `do` says.

wit_bindgen::generate!({ path: "../../../../../wit", world: "managed-plugin" });

use std::sync::Mutex;

use exports::flagpost::plugin::managed_exporter::*;
use flagpost::plugin::log;
use serde_json::{Value, json};

struct Managed;
export!(Managed);

static CONFIG: Mutex<Option<Value>> = Mutex::new(None);

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "do": { "enum": ["tell", "refuse", "leave"] },
    "endpoint": { "type": "string", "pattern": "^https?://" },
    "retry": { "type": "object", "properties": { "max": { "type": "integer", "minimum": 1 } } }
  },
  "required": ["do"],
  "additionalProperties": false
}"#;

impl Guest for Managed {
    fn describe() -> Descriptor {
        // Nothing is granted here: what could be reached is said instead of the version.
        let found = [std::env::vars().count(), usize::from(std::fs::read_dir("/data").is_ok())];
        Descriptor {
            name: "managed".into(),
            version: format!("1.0.{}", found.iter().sum::<usize>()),
            config_schema: SCHEMA.into(),
            kinds: vec![EventKind::Feature],
            encoding: Encoding::JsonLines,
            max_events: 500,
            max_bytes: 1 << 19,
        }
    }

    fn configure(config: String) -> Result<(), Vec<Diagnostic>> {
        let config: Value = serde_json::from_str(&config).unwrap();
        let mut config_is = CONFIG.lock().unwrap();
        assert!(config_is.is_none(), "configured twice");
        if config["do"] == "refuse" {
            let endpoint = config["endpoint"].as_str().unwrap_or_default();
            let one = Diagnostic { path: "endpoint".into(), message: format!("{endpoint} is not ours") };
            return Err(vec![one, Diagnostic { path: "/retry/max".into(), message: "is too many".into() }]);
        }
        *config_is = Some(config);
        Ok(())
    }

    fn is_bulk() -> bool {
        true
    }

    fn export(batch: Batch) -> Result<(), ExportError> {
        let config = CONFIG.lock().unwrap().clone().expect("configured before the first export");
        if config["do"] == "leave" {
            return Ok(());
        }
        let Payload::JsonLines(lines) = &batch.payload else { panic!("another encoding") };
        let told = json!({ "id": batch.id, "attempt": batch.attempt, "count": batch.count, "kind": format!("{:?}", batch.kind), "lines": lines, "config": config });
        Err(ExportError::Rejected(told.to_string()))
    }

    fn close() {
        log::log(log::Level::Info, "the managed guest says goodbye");
    }
}
