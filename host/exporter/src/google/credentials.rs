//! Where credentials come from. What they are is the library's matter: keys of service accounts, users, workloads of other clouds (external accounts),
//! impersonation, the machine's own account by its metadata server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flagpost_settings::{Place, Problems};
use google_cloud_auth::build_errors::Error as BuildError;
use google_cloud_auth::credentials::{
    Builder, Credentials, anonymous, external_account, external_account_authorized_user, impersonated, service_account, user_account,
};
use serde_json::Value;

use crate::Secret;

use super::outcome::{CREDENTIALS, Meaning, Verdict};

/// Where credentials come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Where Google's libraries look: `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's file, the metadata server.
    Default,
    /// A file, read whenever a client is made.
    File(PathBuf),
    /// JSON text.
    Text(Arc<Secret>),
    /// None are needed.
    Anonymous,
}

impl Source {
    /// Text from the configuration, once it is known to be credentials of some kind.
    pub(super) fn text(key: &str, text: &Secret, problems: &mut Problems) -> Option<Source> {
        match parse(text.reveal()) {
            Ok(_) => Some(Source::Text(Arc::new(Secret::new(text.reveal())))),
            Err(why) => {
                problems.error(key, Place::Nowhere, why, "paste the JSON that Google Cloud gave you for the account");
                None
            }
        }
    }

    pub(super) async fn read(&self) -> Result<Credentials, Verdict> {
        match self {
            Source::Anonymous => Ok(anonymous::Builder::new().build()),
            Source::Text(text) => parse(text.reveal()).and_then(of_json).map_err(alarm),
            Source::File(path) => {
                let shown = path.display();
                let text = tokio::fs::read_to_string(path).await;
                let text = text.map_err(|error| alarm(format!("the credentials file {shown} cannot be read: {error}")))?;
                parse(&text).and_then(of_json).map_err(|why| alarm(format!("the credentials file {shown} {why}")))
            }
            Source::Default => {
                let file = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
                // Reads a file; starts tasks of the runtime, too.
                let built = tokio::task::spawn_blocking(|| Builder::default().build()).await;
                let built = built.map_err(|error| Verdict::passing(format!("reading the default credentials was broken off: {error}")))?;
                built.map_err(|error| alarm(of_default(file.as_deref(), &error)))
            }
        }
    }
}

fn alarm(reason: impl Into<String>) -> Verdict {
    Verdict { meaning: Meaning::Alarm(CREDENTIALS), reason: reason.into(), after: None }
}

fn of_default(file: Option<&Path>, error: &BuildError) -> String {
    let place = file.map_or_else(String::new, |file| format!(" ({})", file.display()));
    format!("the default credentials{place} cannot be used: {}", without_contents(error))
}

/// The text as JSON with a `type`; what is said of a wrong one shows nothing of it.
fn parse(text: &str) -> Result<Value, String> {
    let json: Value =
        serde_json::from_str(text).map_err(|error| format!("is no JSON (line {}, column {})", error.line(), error.column()))?;
    if json.is_object() { Ok(json) } else { Err("is no JSON object".to_owned()) }
}

/// As upstream: a type that is not known is taken for a service account's key.
fn of_json(json: Value) -> Result<Credentials, String> {
    let kind = json.get("type").and_then(Value::as_str).unwrap_or("service_account").to_owned();
    let built = match kind.as_str() {
        "authorized_user" => user_account::Builder::new(json).build(),
        "impersonated_service_account" => impersonated::Builder::new(json).build(),
        "external_account" => external_account::Builder::new(json).build(),
        "external_account_authorized_user" => external_account_authorized_user::Builder::new(json).build(),
        _ => service_account::Builder::new(json).build(),
    };
    built.map_err(|error| format!("holds no credentials of type {kind}: {}", without_contents(&error)))
}

/// Errors of parsers quote what they stumbled over; only what is missing is told.
fn without_contents(error: &BuildError) -> String {
    let text = error.to_string();
    if !error.is_parsing() {
        return text;
    }
    match text.find("missing field `") {
        Some(start) => {
            let end = text[start + 15..].find('`').map_or(text.len(), |end| start + 15 + end + 1);
            text[start..end].to_owned()
        }
        None => "its contents are not what is expected".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    fn source(json: &str) -> Source {
        Source::Text(Arc::new(Secret::new(json)))
    }

    #[tokio::test]
    async fn each_type_of_credentials_is_taken() {
        let account = r#""client_email":"a@b","private_key_id":"i","private_key":"hunter2","project_id":"p","#;
        let user = r#"{"type":"authorized_user","client_id":"i","client_secret":"hunter2","refresh_token":"hunter2"}"#;
        let texts = [
            format!(r#"{{{account}"type":"service_account"}}"#),
            format!(r#"{{{account}"type":"something"}}"#),
            user.to_owned(),
            format!(
                r#"{{"type":"impersonated_service_account","service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:generateAccessToken","source_credentials":{user}}}"#
            ),
            r#"{"type":"external_account","audience":"a","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"https://sts.googleapis.com/v1/token","credential_source":{"file":"token"}}"#.to_owned(),
        ];
        crate::install_crypto();
        for text in texts {
            let found = source(&text).read().await;
            assert!(found.is_ok(), "{text}: {:?}", found.err());
        }
        assert!(Source::Anonymous.read().await.is_ok());
    }

    #[tokio::test]
    async fn what_is_wrong_is_an_alarm_that_shows_nothing_of_the_credentials() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.json");
        let missing = Source::File(path.clone()).read().await.unwrap_err();
        assert!(missing.reason.contains("key.json cannot be read"), "{missing:?}");
        let cases = [
            (r#"{"type":"authorized_user","client_secret":"hunter2"}"#, "authorized_user: missing field `client_id`"),
            (r#"{"type":"service_account","client_email":["hunter2"]}"#, "service_account: its contents are not what is expected"),
            (r#"{"type":"service_account","#, "is no JSON (line 1, column 26)"),
            (r#""hunter2""#, "is no JSON object"),
        ];
        for (text, expected) in cases {
            fs::write(&path, text).unwrap();
            for source in [source(text), Source::File(path.clone())] {
                let verdict = source.read().await.unwrap_err();
                assert_eq!(verdict.meaning, Meaning::Alarm(CREDENTIALS), "{verdict:?}");
                assert!(verdict.reason.contains(expected) && !verdict.reason.contains("hunter2"), "{verdict:?}");
            }
        }
    }
}
