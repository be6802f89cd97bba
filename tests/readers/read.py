"""Reads what the relay wrote with other people's programs and holds it against the events that went in.

    read.py parquet DIRECTORY EVENTS    pyarrow and DuckDB: all rows, types, equality queries on each string column
    read.py csv DIRECTORY EVENTS        Python's csv and DuckDB: rows of csvTemplate with csvQuote
    read.py plain DIRECTORY EVENTS      upstream's default template, whose values hold no separators here

EVENTS has one event per line, as it was sent; `version` (features) or `key` (tracking) numbers them. Exit 0 and a summary, or an assertion.
"""

import csv
import glob
import io
import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

what, directory, events_path = sys.argv[1:]
events = [json.loads(line) for line in open(events_path, encoding="utf-8", newline="\n").read().split("\n") if line]
tracking = "trackingEventDetails" in events[0]
number = (lambda row: int(row["key"].split("-")[1])) if tracking else (lambda row: int(row["version"]))
events.sort(key=number)
strings = ["kind", "contextKind", "userKey", "key"] + ([] if tracking else ["variation", "value", "version", "source"])
maps = ["evaluationContext", "trackingEventDetails"] if tracking else ["metadata"]
columns = ["kind", "contextKind", "userKey", "creationDate", "key"]
columns += maps if tracking else ["variation", "value", "default", "version", "source", "metadata"]


def check_row(row, event):
    """A row of a Parquet file, with maps as dicts."""
    for column in columns:
        found, sent = row[column], event.get(column)
        if column in maps:
            texts = {name: value if isinstance(value, str) else None for name, value in (sent or {}).items()}
            assert set(found) == set(texts), (column, found, sent)
            for name, value in texts.items():
                assert found[name] == value if value is not None else json.loads(found[name]) == sent[name], (name, found[name], sent)
        elif column == "value":
            assert json.loads(found) == sent, (found, sent)
        else:
            assert found == ("" if sent is None else sent), (column, found, sent)


def sample(values):
    """Some values of a column: the first, the last and others between, and the longest."""
    distinct = sorted(set(values))
    picked = set(distinct[:: max(1, len(distinct) // 15)]) | {distinct[0], distinct[-1], max(distinct, key=len)}
    return sorted(picked)


def parquet():
    pattern = f"{directory}/*.parquet"
    files = sorted(glob.glob(pattern))
    assert files, "no files"
    schema = pq.read_schema(files[0])
    assert schema.names == columns, schema
    for field in schema:
        if field.name in maps:
            assert pa.types.is_map(field.type) and field.type.key_type == field.type.item_type == pa.string(), field
        else:
            assert field.type == {"creationDate": pa.int64(), "default": pa.bool_()}.get(field.name, pa.string()), field
        assert not field.nullable, field
    groups = pages = 0
    for path in files:
        metadata = pq.read_metadata(path)
        assert set(metadata.metadata) == {b"flagpost.batch", b"flagpost.stream"}, metadata.metadata
        groups += metadata.num_row_groups

    dataset = ds.dataset(files, format="parquet")
    by_arrow = dataset.to_table().to_pylist(maps_as_pydicts="strict")
    result = duckdb.execute(f"SELECT * FROM read_parquet('{pattern}')")
    names = [entry[0] for entry in result.description]
    by_duckdb = [dict(zip(names, row)) for row in result.fetchall()]
    for rows in by_arrow, by_duckdb:
        assert len(rows) == len(events), (len(rows), len(events))
        for row, event in zip(sorted(rows, key=number), events):
            check_row(row, event)

    queries = 0
    for column in strings:
        values = [row[column] for row in by_arrow]
        for value in sample(values) + ["there is no such value", "\uffff"]:
            expected = sorted(number(row) for row in by_arrow if row[column] == value)
            table = dataset.to_table(filter=ds.field(column) == value)
            found = sorted(number(row) for row in table.to_pylist(maps_as_pydicts="strict"))
            assert found == expected, ("pyarrow", column, value, len(found), len(expected))
            result = duckdb.execute(f'SELECT * FROM read_parquet(\'{pattern}\') WHERE "{column}" = ?', [value])
            found = sorted(number(dict(zip(names, row))) for row in result.fetchall())
            assert found == expected, ("duckdb", column, value, len(found), len(expected))
            queries += 2
    print(f"{len(files)} files, {groups} row groups, {len(by_arrow)} rows, {queries} equality queries")


def quoted():
    rows = []
    for path in sorted(glob.glob(f"{directory}/*.csv")):
        text = open(path, encoding="utf-8", newline="").read()
        rows += list(csv.reader(io.StringIO(text, newline="")))
        options = "header = false, all_varchar = true, delim = ',', quote = '\"', escape = '\"', parallel = false, auto_detect = false"
        structure = ", ".join(f"'{name}': 'VARCHAR'" for name in ["number", "user", "value", "map"])
        by_duckdb = duckdb.execute(f"SELECT * FROM read_csv('{path}', {options}, columns = {{{structure}}})").fetchall()
        assert [tuple(cell or "" for cell in row) for row in by_duckdb] == [tuple(row) for row in rows[-len(by_duckdb) :]], path
    assert len(rows) == len(events), (len(rows), len(events))
    for row, event in zip(sorted(rows, key=lambda row: int(row[0])), events):
        assert row[1] == event["userKey"], (row, event)
        assert json.loads(row[2]) == event["value"], (row, event)
        assert json.loads(row[3]) == (event.get("metadata") or None), (row, event)
    print(f"{len(rows)} rows")


def plain():
    rows = []
    for path in sorted(glob.glob(f"{directory}/*.csv")):
        rows += list(csv.reader(open(path, encoding="utf-8", newline=""), delimiter=";"))
    assert len(rows) == len(events), (len(rows), len(events))
    for row, event in zip(sorted(rows, key=lambda row: int(row[4].split("-")[1])), events):
        assert row[:5] == [event["kind"], event.get("contextKind", ""), event["userKey"], str(event["creationDate"]), event["key"]], (row, event)
        if tracking:
            assert [json.loads(cell) for cell in row[5:]] == [event["evaluationContext"], event["trackingEventDetails"]], (row, event)
        else:
            assert row[5] == event["variation"] and row[7:] == [str(event["default"]).lower(), event["source"]], (row, event)
    print(f"{len(rows)} rows")


{"parquet": parquet, "csv": quoted, "plain": plain}[what]()
