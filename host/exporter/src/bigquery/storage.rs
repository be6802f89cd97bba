//! The Storage Write API: the four of its calls that are needed. Each append has a call of its own on the shared connection: batches are few
//! and large, and a call that is given up takes nothing with it.

use std::fmt;

use http::HeaderValue;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status as GrpcStatus};
use tonic_prost::ProstCodec;

use crate::google::{Verdict, chain};

use super::client::Client;
use super::messages::{
    AppendRowsRequest, AppendRowsResponse, COMMITTED, CreateWriteStreamRequest, FULL, FinalizeWriteStreamRequest,
    FinalizeWriteStreamResponse, GetWriteStreamRequest, Status, WriteStream,
};

/// Replies are short, but for the errors of many rows.
const LARGEST_REPLY: usize = 64 << 20;

/// Why there is no reply of the kind that was asked for.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The service's own word.
    Said(Status),
    /// There was none: no connection, no credentials.
    Met(Verdict),
}

impl From<Verdict> for Trouble {
    fn from(verdict: Verdict) -> Self {
        Trouble::Met(verdict)
    }
}

impl Client {
    /// Makes a stream whose rows can be read as soon as they are appended.
    pub(super) async fn create_stream(&self, table: &str) -> Result<WriteStream, Trouble> {
        let write_stream = Some(WriteStream { of: COMMITTED, ..WriteStream::default() });
        let request = CreateWriteStreamRequest { parent: table.to_owned(), write_stream };
        self.unary("CreateWriteStream", "parent", table, request).await
    }

    /// The stream that every table has: says whether the table is there, and its columns.
    pub(super) async fn default_stream(&self, table: &str) -> Result<WriteStream, Trouble> {
        let name = format!("{table}/streams/_default");
        self.unary("GetWriteStream", "name", table, GetWriteStreamRequest { name, view: FULL }).await
    }

    /// Ends a stream, or hears that it has ended: how many rows are in it.
    pub(super) async fn finalize_stream(&self, stream: &str) -> Result<i64, Trouble> {
        let request = FinalizeWriteStreamRequest { name: stream.to_owned() };
        let response: FinalizeWriteStreamResponse = self.unary("FinalizeWriteStream", "name", stream, request).await?;
        Ok(response.row_count)
    }

    /// Appends, and waits for the reply.
    pub(super) async fn append(&self, request: AppendRowsRequest) -> Result<AppendRowsResponse, Trouble> {
        let route = request.write_stream.clone();
        let (mut grpc, metadata, path) = self.call("AppendRows", "write_stream", &route).await?;
        let requests = futures_util::stream::once(std::future::ready(request));
        let request = Request::from_parts(metadata, tonic::Extensions::default(), requests);
        let codec = ProstCodec::<AppendRowsRequest, AppendRowsResponse>::default();
        let mut replies = grpc.streaming(request, path, codec).await.map_err(|status| self.trouble(&status))?.into_inner();
        match replies.message().await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(Verdict::passing("the call ended without a reply").into()),
            Err(status) => Err(self.trouble(&status)),
        }
    }

    async fn unary<A, B>(&self, method: &str, route: &str, value: &str, request: A) -> Result<B, Trouble>
    where
        A: Message + Send + Sync + 'static,
        B: Message + Default + Send + Sync + 'static,
    {
        let (mut grpc, metadata, path) = self.call(method, route, value).await?;
        let request = Request::from_parts(metadata, tonic::Extensions::default(), request);
        let reply = grpc.unary(request, path, ProstCodec::<A, B>::default()).await;
        reply.map(tonic::Response::into_inner).map_err(|status| self.trouble(&status))
    }

    /// What all calls need. `route` and `value` tell Google's front where the call goes.
    async fn call(
        &self,
        method: &str,
        route: &str,
        value: &str,
    ) -> Result<(Grpc<tonic::transport::Channel>, MetadataMap, PathAndQuery), Trouble> {
        let impossible = |error: &dyn fmt::Display| Verdict::passing(format!("{method} cannot be called: {error}"));
        let mut headers = self.storage_headers().await?;
        let params = HeaderValue::from_str(&format!("{route}={value}")).map_err(|error| impossible(&error))?;
        headers.insert("x-goog-request-params", params);
        let path = format!("/google.cloud.bigquery.storage.v1.BigQueryWrite/{method}");
        let path = PathAndQuery::from_maybe_shared(path).map_err(|error| impossible(&error))?;
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST_REPLY);
        grpc.ready().await.map_err(|error| Verdict::passing(format!("{}: {}", self.storage_address, chain(&error))))?;
        Ok((grpc, MetadataMap::from_headers(headers), path))
    }

    /// Tells what the service said from what the library met.
    fn trouble(&self, status: &GrpcStatus) -> Trouble {
        let source = std::error::Error::source(status);
        if let Some(source) = source {
            return Trouble::Met(Verdict::passing(format!("{}: {}: {}", self.storage_address, status.message(), chain(source))));
        }
        if status.code() == Code::Ok {
            return Trouble::Met(Verdict::passing("the call ended without a reply"));
        }
        // The whole status once more, with details.
        let whole = Status::decode(status.details()).ok().filter(|whole| whole.code == i32::from(status.code()));
        Trouble::Said(whole.unwrap_or_else(|| Status {
            code: i32::from(status.code()),
            message: status.message().to_owned(),
            details: Vec::new(),
        }))
    }
}
