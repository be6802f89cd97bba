#!/usr/bin/env python3
"""`same.py DIRECTORY FILE`: are the events in the directory's JSON lines the ones in the file? The order of keys and absent against null do not count."""
import json, pathlib, sys


def events(lines):
    return sorted(json.dumps({k: v for k, v in json.loads(line).items() if v is not None}, sort_keys=True) for line in lines)


def read(path):
    return path.read_text().splitlines() if path.is_file() else []


ours = [line for path in pathlib.Path(sys.argv[1]).glob("*.json") for line in read(path)]
theirs = read(pathlib.Path(sys.argv[2]))
sys.exit(not ours or events(ours) != events(theirs))
