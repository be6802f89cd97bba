//! What clients are asked, what they must come to, and the events that must come of it.

use flagpost_tests::Flags;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kind::{Kind, Reports};

/// The flag file.
pub(super) fn flags() -> Flags {
    Flags::parse(include_str!("../../clients/flags.json"))
}

/// An evaluation that a client is asked for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Asked {
    pub flag: &'static str,
    r#type: &'static str,
    default: Value,
    pub user: String,
    attributes: Value,
    /// What it must come to; `None`: there is no such flag.
    #[serde(skip)]
    pub variation: Option<&'static str>,
}

/// What a client says it evaluated.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Result {
    pub flag: String,
    pub user: String,
    pub value: Value,
    pub variation: Option<String>,
    pub reason: Option<String>,
    pub error: Option<String>,
}

impl Result {
    /// Whether it came from what the client keeps.
    fn cached(&self) -> bool {
        self.reason.as_deref() == Some("CACHED")
    }
}

/// Every flag for one user. The variations stand here, not in the flag file's words: rules must have been applied.
pub(super) fn all_for(user: &str) -> Vec<Asked> {
    let ann = user == "ann";
    let attributes = if ann { json!({ "plan": "pro" }) } else { json!({ "plan": "free", "anonymous": true }) };
    let asked = |flag, r#type, default: Value, variation| Asked {
        flag,
        r#type,
        default,
        user: user.to_owned(),
        attributes: attributes.clone(),
        variation: Some(variation),
    };
    vec![
        asked("new-checkout", "boolean", json!(!ann), if ann { "on" } else { "off" }),
        asked("button-text", "string", json!("?"), if ann { "warm" } else { "plain" }),
        asked("discount", "float", json!(0.5), "quarter"),
        asked("cart-limit", "integer", json!(0), "many"),
        asked("layout", "object", json!({ "columns": [] }), "wide"),
        asked("banner", "boolean", json!(true), "hidden"),
        asked("unreported", "boolean", json!(false), "on"),
    ]
}

/// A flag that does not exist.
pub(super) fn missing_for(user: &str) -> Asked {
    let attributes = json!({ "plan": "pro" });
    Asked { flag: "missing", r#type: "string", default: json!("otherwise"), user: user.to_owned(), attributes, variation: None }
}

/// Fails unless the client evaluated: the flag file's variation and value, and no default of its own.
pub(super) fn assert_evaluated(asked: &[Asked], results: &[Result]) {
    let flags = flags();
    for (asked, result) in asked.iter().zip(results) {
        assert_eq!((asked.flag, &asked.user), (result.flag.as_str(), &result.user));
        match asked.variation {
            Some(variation) => {
                assert_eq!(result.error, None, "{result:?}");
                assert_eq!(result.variation.as_deref(), Some(variation), "{result:?}");
                assert_eq!(result.value, flags.value(asked.flag, variation), "{result:?}");
            }
            None => {
                assert!(result.error.as_ref().is_some_and(|error| error.starts_with("FLAG_NOT_FOUND")), "{result:?}");
                assert_eq!(result.value, asked.default, "{result:?}");
            }
        }
    }
}

/// The events of these evaluations as the relay must write them, without their time.
pub(super) fn expected(kind: Kind, asked: &[Asked], results: &[Result]) -> Vec<Value> {
    let reports = kind.reports();
    asked.iter().zip(results).filter_map(|(asked, result)| event(kind, &reports, asked, result)).collect()
}

fn event(kind: Kind, reports: &Reports, asked: &Asked, result: &Result) -> Option<Value> {
    let reported = match asked.variation {
        None => reports.missing,
        Some(_) if asked.flag == "unreported" && !reports.untracked => false,
        Some(_) => reports.uncached || result.cached(),
    };
    let version = if reports.version && asked.flag == "new-checkout" { "3" } else { "" };
    let anonymous = asked.attributes["anonymous"] == true;
    reported.then(|| {
        json!({
            "kind": "feature",
            "contextKind": if anonymous { "anonymousUser" } else { "user" },
            "userKey": asked.user,
            "key": asked.flag,
            "variation": asked.variation.unwrap_or("SdkDefault"),
            "value": as_sent(kind, &result.value),
            "default": asked.variation.is_none(),
            "version": version,
            "source": reports.source,
            "metadata": reports.metadata,
        })
    })
}

/// A value as the client encodes it.
fn as_sent(kind: Kind, value: &Value) -> Value {
    match kind {
        // It sends what its JSON library sees of the SDK's class for structures: which type it is of, and nothing of what is in it.
        Kind::Java if value.is_object() => json!({
            "boolean": false, "instant": false, "list": false, "null": false, "number": false, "string": false, "structure": true,
        }),
        _ => value.clone(),
    }
}
