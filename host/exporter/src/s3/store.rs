//! The calls to S3.

use std::error::Error;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption, StorageClass};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use flagpost_event::Clock;

use crate::aws::{Connector, Failure, Lazy, Meaning};
use crate::objects::{OWNER, Object, ObjectStore, Put};
use crate::{ExportError, ProbeError};

use super::config::S3Config;
use super::outcome::{CODES, exists, judged};

/// Nothing may stand there yet.
const ABSENT: &str = "*";

/// What an error means; `what` was asked for something.
pub(super) fn failure<E>(what: &str, error: &SdkError<E, HttpResponse>, clock: &dyn Clock) -> Failure
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let (code, status) = facts(error);
    judged(Failure::of(what, error, CODES, clock), status, code)
}

/// An answer's code and status.
fn facts<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> (Option<&str>, Option<u16>) {
    let code = error.as_service_error().and_then(|error| error.meta().code());
    (code, error.raw_response().map(|answer| answer.status().as_u16()))
}

/// One bucket.
#[derive(Debug)]
pub(super) struct S3Store {
    client: Lazy<Client>,
    config: S3Config,
    /// For messages.
    what: String,
}

/// An upload in parts.
#[derive(Debug)]
pub(super) struct Upload {
    name: String,
    id: String,
    parts: Vec<CompletedPart>,
}

impl S3Store {
    pub(super) fn new(config: S3Config, connector: Connector) -> Self {
        let plain: fn(&SdkConfig) -> Client = Client::new;
        let path_style = |config: &SdkConfig| Client::from_conf(Builder::from(config).force_path_style(true).build());
        let client = Lazy::new(connector, if config.force_path_style { path_style } else { plain });
        let what = match &config.endpoint {
            Some(endpoint) => format!("bucket `{}` at {endpoint}", config.bucket),
            None => format!("bucket `{}`", config.bucket),
        };
        S3Store { client, config, what }
    }

    async fn client(&self) -> Result<Client, ExportError> {
        self.client
            .get()
            .await
            .map_err(|failure| ExportError::from(Failure { reason: format!("{}: {}", self.what, failure.reason), ..failure }))
    }

    /// A failed call. What somebody has to do something about makes the next call start with another client.
    fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> ExportError
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let failure = failure(&self.what, error, &*self.config.clock);
        if matches!(failure.meaning, Meaning::Alarm(_)) {
            self.client.forget();
        }
        failure.into()
    }

    /// A conditional write's end.
    fn put_of<T, E>(&self, answer: Result<T, SdkError<E, HttpResponse>>) -> Result<Put, ExportError>
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        match answer {
            Ok(_) => Ok(Put::Stored),
            Err(error) => {
                let (code, status) = facts(&error);
                if exists(code, status) { Ok(Put::Exists) } else { Err(self.failed(&error)) }
            }
        }
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.config.encryption.as_deref().map(ServerSideEncryption::from)
    }

    fn storage_class(&self) -> Option<StorageClass> {
        self.config.storage_class.as_deref().map(StorageClass::from)
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    type Upload = Upload;

    fn place(&self) -> String {
        format!("s3:{}/{}", self.config.endpoint.as_deref().unwrap_or_default(), self.config.bucket)
    }

    async fn put(&self, object: &Object, body: Bytes) -> Result<Put, ExportError> {
        let call = self.client().await?.put_object().bucket(&self.config.bucket).key(&object.name);
        let call = call.metadata(OWNER, &object.owner).if_none_match(ABSENT);
        let call = call.set_server_side_encryption(self.encryption()).set_ssekms_key_id(self.config.kms_key.clone());
        self.put_of(call.set_storage_class(self.storage_class()).body(body.into()).send().await)
    }

    async fn owner(&self, name: &str) -> Result<Option<String>, ExportError> {
        match self.client().await?.head_object().bucket(&self.config.bucket).key(name).send().await {
            Ok(found) => Ok(Some(found.metadata().and_then(|all| all.get(OWNER)).cloned().unwrap_or_default())),
            // Without a body: whether it is the object or the bucket that is not there is said by other calls.
            Err(error) if facts(&error).1 == Some(404) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn begin(&self, object: &Object) -> Result<Upload, ExportError> {
        let call = self.client().await?.create_multipart_upload().bucket(&self.config.bucket).key(&object.name);
        let call = call.metadata(OWNER, &object.owner).set_storage_class(self.storage_class());
        let call = call.set_server_side_encryption(self.encryption()).set_ssekms_key_id(self.config.kms_key.clone());
        let begun = call.send().await.map_err(|error| self.failed(&error))?;
        match begun.upload_id {
            Some(id) => Ok(Upload { name: object.name.clone(), id, parts: Vec::new() }),
            None => Err(ExportError::retryable(format!("{}: an upload without an id was begun", self.what))),
        }
    }

    async fn part(&self, upload: &mut Upload, bytes: Bytes) -> Result<(), ExportError> {
        let number = i32::try_from(upload.parts.len() + 1).unwrap_or(i32::MAX);
        let call = self.client().await?.upload_part().bucket(&self.config.bucket).key(&upload.name).upload_id(&upload.id);
        let sent = call.part_number(number).body(bytes.into()).send().await.map_err(|error| self.failed(&error))?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        // The store checks once more that it has what was sent.
        upload.parts.push(part.set_checksum_crc32(sent.checksum_crc32).set_checksum_crc32_c(sent.checksum_crc32_c).build());
        Ok(())
    }

    async fn complete(&self, upload: &mut Upload) -> Result<Put, ExportError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut upload.parts))).build();
        let call = self.client().await?.complete_multipart_upload().bucket(&self.config.bucket).key(&upload.name);
        self.put_of(call.upload_id(&upload.id).multipart_upload(parts).if_none_match(ABSENT).send().await)
    }

    async fn abort(&self, upload: Upload) {
        let Ok(client) = self.client().await else { return };
        let call = client.abort_multipart_upload().bucket(&self.config.bucket).key(&upload.name).upload_id(&upload.id);
        match call.send().await {
            Ok(_) => {}
            // It was completed, or given up before.
            Err(error) if facts(&error).1 == Some(404) => {}
            Err(error) => {
                let reason = failure(&self.what, &error, &*self.config.clock).reason;
                tracing::warn!(object = upload.name, upload = upload.id, reason, "an unfinished upload could not be given up");
            }
        }
    }

    async fn sweep(&self, name: &str) {
        let Ok(client) = self.client().await else { return };
        let listed = match client.list_multipart_uploads().bucket(&self.config.bucket).prefix(name).send().await {
            Ok(listed) => listed,
            Err(error) => {
                let reason = failure(&self.what, &error, &*self.config.clock).reason;
                tracing::debug!(object = name, reason, "unfinished uploads of earlier attempts could not be listed");
                return;
            }
        };
        for upload in listed.uploads.unwrap_or_default() {
            if let (Some(key), Some(id)) = (upload.key, upload.upload_id)
                && key == name
            {
                self.abort(Upload { name: key, id, parts: Vec::new() }).await;
            }
        }
    }

    /// Begins an upload and gives it up: that needs the right to write, and writes nothing.
    async fn probe(&self, object: &Object) -> Result<(), ProbeError> {
        let upload = self.begin(object).await.map_err(|error| ProbeError { reason: error.to_string() })?;
        self.abort(upload).await;
        Ok(())
    }
}
