"""bqemulator with a DuckDB connection for each of its threads. On the one that they share, an append (gRPC) and a query (REST) at the same time
wait for each other for ever: one holds the connection and wants the interpreter, the other holds the interpreter and wants the connection."""

import sys
import threading

from bqemulator.cli import main
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


DuckDBEngine.connection = property(connection)
sys.exit(main())
