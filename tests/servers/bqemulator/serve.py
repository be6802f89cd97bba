"""bqemulator, mended where it comes to a stand.

A DuckDB connection for each thread. On the one that they share, an append (gRPC) and a query (REST) at the same time wait for each other for ever: one
holds the connection and wants the interpreter, the other holds the interpreter and wants the connection.

No thread for a connection that waits. It gives each AppendRows connection a thread of a pool of a few (processors + 4), and a connection whose client
was killed before the answer never gives its thread back: after six such clients no append is answered any more. Here a thread works while a request is
answered, and only then."""

import asyncio
import sys
import threading

import grpc
from bqemulator.cli import main
from bqemulator.grpc_api.write_servicer import BigQueryWriteHandler
from bqemulator.storage.engine import DuckDBEngine

shared = DuckDBEngine.connection.fget
own = threading.local()


def connection(engine):
    first = shared(engine)
    if threading.current_thread() is threading.main_thread():
        return first
    if getattr(own, "first", None) is not first:
        own.first, own.cursor = first, first.cursor()
        own.cursor.execute("SET TimeZone = 'UTC'")
    return own.cursor


def append_rows(handler):
    async def answers(requests, context):
        received = []
        # It gives one answer for each request, or ends: it never waits for a second one.
        answering = handler._handle_append_rows(iter(received.pop, None), context)
        async for request in requests:
            received.append(request)
            answer = await asyncio.to_thread(next, answering, None)
            if answer is None:
                return
            yield answer

    return grpc.stream_stream_rpc_method_handler(answers)


service = BigQueryWriteHandler.service


def mended(handler, details):
    return append_rows(handler) if details.method.endswith("/AppendRows") else service(handler, details)


DuckDBEngine.connection = property(connection)
BigQueryWriteHandler.service = mended
sys.exit(main())
