//! The calls to Cloud Storage, in its JSON API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::google::{Advice, Lazy, Meaning, Verdict, probe_error};
use crate::objects::{OWNER, Object, ObjectStore, Put};
use crate::{ExportError, ProbeError};

use super::config::GoogleConfig;
use super::http::{Http, checksum, client, joined};
use super::outcome::{MISSING, RIGHTS, failure, placed};
use super::session::{EXISTS, Session};

/// The service's own address.
const SERVICE: &str = "https://storage.googleapis.com";

/// The right that is needed.
const CREATE: &str = "storage.objects.create";

/// What an object holds, to the service.
const CONTENT_TYPE: &str = "application/octet-stream";

/// One bucket.
#[derive(Debug)]
pub(super) struct GoogleStore {
    client: Client,
    http: Lazy<Http>,
    config: GoogleConfig,
    base: Url,
    timeout: Duration,
    /// For messages.
    what: String,
}

impl GoogleStore {
    pub(super) fn new(config: GoogleConfig, timeout: Duration) -> Result<Self, String> {
        let endpoint = config.access.endpoint();
        let base = endpoint.unwrap_or(SERVICE).parse().map_err(|error| format!("is no address of a service: {error}"))?;
        let what = match endpoint {
            Some(endpoint) => format!("bucket `{}` at {endpoint}", config.bucket),
            None => format!("bucket `{}`", config.bucket),
        };
        Ok(GoogleStore { client: client()?, http: Lazy::default(), config, base, timeout, what })
    }

    async fn http(&self) -> Result<Arc<Http>, Verdict> {
        let make = async { Ok(Http::new(self.client.clone(), self.config.access.credentials().await?, self.timeout)) };
        self.http.get(make).await
    }

    /// What a verdict means here. With credentials that are of no use, the next call begins anew.
    fn failed(&self, verdict: Verdict) -> ExportError {
        if verdict.spent() {
            self.http.clear();
        }
        failure(&self.what, verdict)
    }

    /// `BASE/PREFIX/storage/v1/b/BUCKET/…`; each part is one step, whatever is in it.
    fn url(&self, prefix: Option<&str>, steps: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(prefix).extend(["storage", "v1", "b", &self.config.bucket]).extend(steps);
        }
        url.query_pairs_mut().extend_pairs(query);
        url
    }

    /// Where objects are sent, if none of that name exists.
    fn upload_url(&self, kind: &str, object: &Object) -> Url {
        let mut query = vec![("uploadType", kind), ("ifGenerationMatch", "0"), ("name", object.name.as_str())];
        if let Some(key) = &self.config.kms_key {
            query.push(("kmsKeyName", key));
        }
        self.url(Some("upload"), &["o"], &query)
    }

    /// What the service is told about an object.
    fn resource(&self, object: &Object) -> Value {
        let mut resource = json!({ "name": object.name, "contentType": CONTENT_TYPE, "metadata": { OWNER: object.owner } });
        if let Some(class) = &self.config.storage_class {
            resource["storageClass"] = class.as_str().into();
        }
        resource
    }

    async fn put_whole(&self, object: &Object, body: &[u8]) -> Result<Put, Verdict> {
        let http = self.http().await?;
        let mut resource = self.resource(object);
        resource["crc32c"] = checksum(crc32c::crc32c(body)).into();
        let (content_type, body) = multipart(&resource, body);
        let request = http.client.post(self.upload_url("multipart", object)).header("content-type", content_type).body(body);
        let reply = http.send("uploading", request).await?;
        match reply.status {
            EXISTS => Ok(Put::Exists),
            _ if reply.is_success() => Ok(Put::Stored),
            _ => Err(reply.verdict()),
        }
    }

    async fn find_owner(&self, name: &str) -> Result<Option<String>, Verdict> {
        let http = self.http().await?;
        let request = http.client.get(self.url(None, &["o", name], &[("fields", "metadata")]));
        let reply = http.send("asking whose an object is", request).await?;
        match reply.status {
            404 => Ok(None),
            _ if !reply.is_success() => Err(reply.verdict()),
            _ => {
                let json = reply.json().ok_or_else(|| Verdict::passing("the description of an object is no JSON"))?;
                Ok(Some(json["metadata"][OWNER].as_str().unwrap_or_default().to_owned()))
            }
        }
    }

    async fn open(&self, object: &Object) -> Result<Session, Verdict> {
        let http = self.http().await?;
        let request = http
            .client
            .post(self.upload_url("resumable", object))
            .header("content-type", "application/json")
            .header("x-upload-content-type", CONTENT_TYPE)
            .body(self.resource(object).to_string());
        Session::of(&http.send("opening an upload", request).await?)
    }

    /// Asks for rights, which anybody may. An emulator knows none; whether the bucket is there it knows.
    async fn ask(&self) -> Result<(), Verdict> {
        let http = self.http().await?;
        let rights = self.url(None, &["iam", "testPermissions"], &[("permissions", CREATE)]);
        let reply = http.send("the probe", http.client.get(rights)).await?;
        if self.config.access.is_anonymous() && !reply.is_success() && !reply.is_services() {
            let reply = http.send("the probe", http.client.get(self.url(None, &[], &[("fields", "name")]))).await?;
            return if reply.is_success() { Ok(()) } else { Err(reply.verdict()) };
        }
        if !reply.is_success() {
            return Err(reply.verdict());
        }
        let granted = reply
            .json()
            .is_some_and(|json| json["permissions"].as_array().is_some_and(|rights| rights.iter().any(|right| right == CREATE)));
        if granted {
            return Ok(());
        }
        Err(Verdict { meaning: Meaning::Alarm(Advice::Rights), reason: format!("{CREATE} is not granted"), after: None })
    }
}

/// An object and what is told about it in one body. The boundary is a digest of the bytes, so they cannot hold it.
fn multipart(resource: &Value, body: &[u8]) -> (String, Bytes) {
    let boundary = format!("flagpost-{}", hex::encode(Sha256::digest(body)));
    let head = format!(
        "--{boundary}\r\ncontent-type: application/json; charset=utf-8\r\n\r\n{resource}\r\n--{boundary}\r\ncontent-type: {CONTENT_TYPE}\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    (format!("multipart/related; boundary={boundary}"), joined(&[head.as_bytes(), body, tail.as_bytes()]))
}

#[async_trait]
impl ObjectStore for GoogleStore {
    type Upload = Session;

    fn place(&self) -> String {
        format!("googleStorage:{}/{}", self.base.as_str().trim_end_matches('/'), self.config.bucket)
    }

    async fn put(&self, object: &Object, body: Bytes) -> Result<Put, ExportError> {
        self.put_whole(object, &body).await.map_err(|verdict| self.failed(verdict))
    }

    async fn owner(&self, name: &str) -> Result<Option<String>, ExportError> {
        self.find_owner(name).await.map_err(|verdict| self.failed(verdict))
    }

    async fn begin(&self, object: &Object) -> Result<Session, ExportError> {
        self.open(object).await.map_err(|verdict| self.failed(verdict))
    }

    async fn part(&self, upload: &mut Session, bytes: Bytes) -> Result<(), ExportError> {
        let sent = async { upload.part(&*self.http().await?, bytes).await };
        sent.await.map_err(|verdict| self.failed(verdict))
    }

    async fn complete(&self, upload: &mut Session) -> Result<Put, ExportError> {
        let sent = async { upload.complete(&*self.http().await?).await };
        sent.await.map_err(|verdict| self.failed(verdict))
    }

    async fn abort(&self, upload: Session) {
        if let Ok(http) = self.http().await {
            upload.abort(&http).await;
        }
    }

    /// Rights are the whole bucket's.
    async fn probe(&self, _: &Object) -> Result<(), ProbeError> {
        self.ask().await.map_err(|verdict| probe_error(placed(&self.what, verdict), MISSING, RIGHTS))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flagpost_settings::Problems;

    use crate::google::{Access, AccessKeys};

    use super::*;

    fn store(endpoint: &str) -> GoogleStore {
        store_as(endpoint, "")
    }

    fn store_as(endpoint: &str, file: &str) -> GoogleStore {
        let keys = AccessKeys { endpoint, file, text: None, emulator: None };
        let access = Access::check(keys, &mut Problems::default()).unwrap();
        let kms_key = Some("projects/p/k".to_owned());
        let config = GoogleConfig { bucket: "b".to_owned(), access, storage_class: Some("NEARLINE".to_owned()), kms_key };
        GoogleStore::new(config, Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn names_are_one_step_of_an_address_whatever_is_in_them() {
        let service = store("");
        let url = service.url(None, &["o", "/a b/../é?&%2F.json"], &[("fields", "metadata")]);
        assert_eq!(url.as_str(), "https://storage.googleapis.com/storage/v1/b/b/o/%2Fa%20b%2F..%2F%C3%A9%3F&%252F.json?fields=metadata");
        let object = Object { name: "a/b&c".to_owned(), owner: "o".to_owned() };
        let url = store("http://127.0.0.1:4443/prefix/").upload_url("resumable", &object);
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:4443/prefix/upload/storage/v1/b/b/o?uploadType=resumable&ifGenerationMatch=0&name=a%2Fb%26c&kmsKeyName=projects%2Fp%2Fk"
        );
        assert_eq!(service.resource(&object)["storageClass"], "NEARLINE");
        assert_eq!(
            (service.place(), store("http://h:1").place()),
            ("googleStorage:https://storage.googleapis.com/b".into(), "googleStorage:http://h:1/b".into())
        );
    }

    #[tokio::test]
    async fn a_probe_asks_for_rights_and_an_emulator_for_the_bucket() {
        const TEST: &str = "GET /storage/v1/b/b/iam/testPermissions?permissions=storage.objects.create";
        const GET: &str = "GET /storage/v1/b/b?fields=name";
        const TOKEN: &str = "POST /token";
        let token = r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#;
        let missing = r#"{"error":{"code":404,"message":"The specified bucket does not exist."}}"#;
        let denied = r#"{"error":{"code":403,"message":"a@b is not allowed","errors":[{"reason":"forbidden"}]}}"#;
        let cases = [
            (false, vec![(GET, 200, r#"{"name":"b"}"#)], ""),
            (false, vec![(GET, 404, missing)], "The specified bucket does not exist.: create the bucket"),
            (true, vec![(TOKEN, 200, token), (TEST, 200, r#"{"permissions":["storage.objects.create"]}"#)], ""),
            (true, vec![(TOKEN, 200, token), (TEST, 200, "{}")], "storage.objects.create is not granted: give the account"),
            (true, vec![(TOKEN, 200, token), (TEST, 404, missing)], "create the bucket, or correct `bucket`"),
            (true, vec![(TOKEN, 200, token), (TEST, 403, denied)], "a@b is not allowed: give the account"),
            (true, vec![(TOKEN, 401, r#"{"error":"invalid_grant"}"#)], "check the credentials"),
            (true, vec![(TOKEN, 200, token), (TEST, 503, "busy")], "503: busy"),
        ];
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("credentials.json");
        for (credentials, script, expected) in cases {
            let (address, _) = crate::google::scripted::service(script.clone()).await;
            let uri = format!("{address}/token");
            let user = json!({ "type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r", "token_uri": uri });
            std::fs::write(&file, user.to_string()).unwrap();
            let store = store_as(&address, if credentials { file.to_str().unwrap() } else { "" });
            let object = Object { name: "n".to_owned(), owner: "o".to_owned() };
            let said = store.probe(&object).await.map_or_else(|error| error.to_string(), |()| String::new());
            assert!(said.contains(expected) && (said.is_empty() == expected.is_empty()), "{script:?}: {said}");
        }
    }

    #[test]
    fn bytes_cannot_end_their_own_part() {
        let resource = json!({ "name": "n" });
        let (_, empty) = multipart(&resource, b"");
        // What would end the part of an empty object is only bytes in this one.
        let (content_type, body) = multipart(&resource, &empty);
        let boundary = content_type.split_once("boundary=").unwrap().1;
        let text = String::from_utf8(body.to_vec()).unwrap();
        let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
        assert_eq!(parts.len(), 4, "{text}");
        assert!(
            parts[1].ends_with("{\"name\":\"n\"}\r\n") && parts[2].contains(std::str::from_utf8(&empty).unwrap()) && parts[3] == "--\r\n"
        );
    }
}
