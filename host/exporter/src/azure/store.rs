//! The calls to the blob service.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::headers::HeaderName;
use azure_core::http::{ClientOptions, Etag, RequestContent, RetryOptions, Transport};
use azure_core::{Error, Uuid};
use azure_storage_blob::models::{BlockBlobClientCommitBlockListOptions, BlockBlobClientUploadOptions, BlockLookupList};
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions, BlockBlobClient};
use bytes::Bytes;

use crate::objects::{OWNER, Object, ObjectStore, PART, Put};
use crate::{ExportError, ProbeError};

use super::config::{Access, AzureConfig};
use super::credential::credential;
use super::outcome::{exists, facts, outcome};
use super::shared_key::SharedKey;

/// A try's first step: a server that is not there is told apart from one that is slow.
const CONNECT: Duration = Duration::from_secs(5);

/// No blob has it.
const NO_ETAG: &str = "\"flagpost-probe\"";

/// One container.
pub(super) struct AzureStore {
    container: BlobContainerClient,
    config: AzureConfig,
    timeout: Duration,
}

impl fmt::Debug for AzureStore {
    /// Without the URL, which may hold a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureStore").field("container", &self.config.shown).field("access", &self.config.access).finish_non_exhaustive()
    }
}

/// A blob whose blocks are being sent.
pub(super) struct Upload {
    object: Object,
    client: BlockBlobClient,
    blocks: Vec<Vec<u8>>,
}

impl AzureStore {
    /// The error says what is missing.
    pub(super) fn new(config: AzureConfig, timeout: Duration) -> Result<Self, String> {
        crate::install_crypto();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).connect_timeout(CONNECT).build();
        let http = http.map_err(|error| format!("no HTTP client can be made: {}", error.without_url()))?;
        // Trying again is delivery's business.
        let options =
            ClientOptions { transport: Some(Transport::new(Arc::new(http))), retry: RetryOptions::none(), ..ClientOptions::default() };
        let mut client_options = options.clone();
        let mut token = None;
        match &config.access {
            Access::Signature => {}
            Access::Entra => token = Some(credential(options).map_err(|error| format!("no identity can be taken on: {error}"))?),
            Access::SharedKey(account, key) => {
                client_options.per_try_policies.push(Arc::new(SharedKey::new(account.clone(), key, Arc::clone(&config.clock))));
            }
        }
        let options = BlobContainerClientOptions { client_options, ..BlobContainerClientOptions::default() };
        let container = BlobContainerClient::new(config.url.clone(), token, Some(options));
        let container = container.map_err(|_| format!("{}: no client can be made", config.shown))?;
        Ok(AzureStore { container, config, timeout })
    }

    fn blob(&self, name: &str) -> BlockBlobClient {
        self.container.blob_client(name).block_blob_client()
    }

    /// A call, within its time.
    async fn call<T>(&self, call: impl Future<Output = Result<T, Error>> + Send) -> Result<Result<T, Error>, ExportError> {
        let shown = &self.config.shown;
        let late = |_| ExportError::retryable(format!("{shown}: no answer within {} s", self.timeout.as_secs_f32()));
        tokio::time::timeout(self.timeout, call).await.map_err(late)
    }

    fn failed(&self, error: &Error) -> ExportError {
        outcome(&self.config.shown, error, self.config.clock.now())
    }

    fn put_of<T>(&self, answer: Result<T, Error>) -> Result<Put, ExportError> {
        match answer {
            Ok(_) => Ok(Put::Stored),
            Err(error) if exists(&error) => Ok(Put::Exists),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

fn metadata(object: &Object) -> Option<HashMap<String, String>> {
    Some(HashMap::from([(OWNER.to_owned(), object.owner.clone())]))
}

/// One call for a body of a part's size.
fn at_once(object: &Object) -> BlockBlobClientUploadOptions<'static> {
    BlockBlobClientUploadOptions {
        metadata: metadata(object),
        partition_size: NonZero::new(PART as u64),
        ..BlockBlobClientUploadOptions::default()
    }
}

fn content(bytes: Bytes) -> RequestContent<Bytes, azure_core::http::NoFormat> {
    bytes.into()
}

#[async_trait]
impl ObjectStore for AzureStore {
    type Upload = Upload;

    fn place(&self) -> String {
        let url = &self.config.url;
        format!("azure:{}", &url[url::Position::BeforeScheme..url::Position::AfterPath])
    }

    async fn put(&self, object: &Object, body: Bytes) -> Result<Put, ExportError> {
        let options = at_once(object).if_not_exists();
        let blob = self.blob(&object.name);
        let answer = self.call(blob.upload(content(body), Some(options))).await?;
        self.put_of(answer)
    }

    async fn owner(&self, name: &str) -> Result<Option<String>, ExportError> {
        let blob = self.container.blob_client(name);
        match self.call(blob.get_properties(None)).await? {
            Ok(found) => {
                let header = HeaderName::from(format!("x-ms-meta-{OWNER}"));
                Ok(Some(found.headers().get_optional_str(&header).unwrap_or_default().to_owned()))
            }
            Err(error) => match facts(&error) {
                Some((Some("BlobNotFound"), _)) => Ok(None),
                _ => Err(self.failed(&error)),
            },
        }
    }

    /// Blocks need no beginning.
    async fn begin(&self, object: &Object) -> Result<Upload, ExportError> {
        Ok(Upload { object: object.clone(), client: self.blob(&object.name), blocks: Vec::new() })
    }

    async fn part(&self, upload: &mut Upload, bytes: Bytes) -> Result<(), ExportError> {
        // An id of its own: blocks of an earlier attempt may still be there. All of one length, as the service wants it.
        let id = Uuid::new_v4().as_bytes().to_vec();
        let staged = self.call(upload.client.stage_block(&id, bytes.len() as u64, content(bytes), None)).await?;
        staged.map_err(|error| self.failed(&error))?;
        upload.blocks.push(id);
        Ok(())
    }

    async fn complete(&self, upload: &mut Upload) -> Result<Put, ExportError> {
        let blocks = BlockLookupList { latest: Some(std::mem::take(&mut upload.blocks)), ..BlockLookupList::default() };
        let blocks = blocks.try_into().map_err(|error| self.failed(&error))?;
        let options = BlockBlobClientCommitBlockListOptions {
            metadata: metadata(&upload.object),
            if_none_match: Some(Etag::from("*")),
            ..BlockBlobClientCommitBlockListOptions::default()
        };
        let answer = self.call(upload.client.commit_block_list(blocks, Some(options))).await?;
        self.put_of(answer)
    }

    /// The service forgets blocks by itself.
    async fn abort(&self, _: Upload) {}

    /// Writes over a blob that is not there: that needs the right to write, and writes nothing.
    async fn probe(&self, object: &Object) -> Result<(), ProbeError> {
        let told = |error: ExportError| ProbeError { reason: error.to_string() };
        let options = BlockBlobClientUploadOptions { if_match: Some(Etag::from(NO_ETAG)), ..at_once(object) };
        let blob = self.blob(&object.name);
        match self.call(blob.upload(content(Bytes::new()), Some(options))).await.map_err(told)? {
            Err(error) if !exists(&error) && facts(&error).is_none_or(|(code, _)| code != Some("BlobNotFound")) => {
                Err(told(self.failed(&error)))
            }
            _ => Ok(()),
        }
    }
}
