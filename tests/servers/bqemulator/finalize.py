"""Ends every write stream of a table, as BigQuery does with streams that are idle: finalize.py HOST:PORT STREAM..."""

import sys

import grpc
from google.cloud.bigquery_storage_v1 import types

address, *streams = sys.argv[1:]
with grpc.insecure_channel(address) as channel:
    finalize = channel.unary_unary(
        "/google.cloud.bigquery.storage.v1.BigQueryWrite/FinalizeWriteStream",
        request_serializer=types.FinalizeWriteStreamRequest.serialize,
        response_deserializer=types.FinalizeWriteStreamResponse.deserialize,
    )
    for stream in streams:
        print(finalize(types.FinalizeWriteStreamRequest(name=stream), timeout=30).row_count)
