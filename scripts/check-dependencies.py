#!/usr/bin/env python3
"""Holds the dependency tree against deny.toml: licences, banned crates, sources. For machines without cargo-deny, which checks the same file
and more (advisories, duplicates). Also holds fuzz/Cargo.lock against fuzz/Cargo.toml and Cargo.lock: nothing else builds it every day. Exit 1 names
every crate that breaks a rule."""
import json, re, subprocess, sys, tomllib

rules = tomllib.load(open("deny.toml", "rb"))
allowed = set(rules["licenses"]["allow"])
banned = {entry["name"] for entry in rules["bans"]["deny"]}
metadata = json.loads(subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked"], check=True, capture_output=True).stdout)


def satisfied(expression):
    """SPDX: a crate may be used when one alternative has only allowed licences."""
    alternatives = re.split(r"\s+OR\s+|/", expression.replace("(", " ").replace(")", " "))
    return any(all(part.strip() in allowed for part in re.split(r"\s+AND\s+", one)) for one in alternatives)


members = set(metadata["workspace_members"])
problems = []
for package in metadata["packages"]:
    if package["id"] in members:
        continue
    name = f'{package["name"]} {package["version"]}'
    if package["name"] in banned:
        problems.append(f"{name}: banned by deny.toml")
    if not satisfied(package["license"] or ""):
        problems.append(f'{name}: licence `{package["license"]}` is not allowed by deny.toml')
    if not (package["source"] or "").startswith("registry+"):
        problems.append(f'{name}: source {package["source"]} is not the registry')

versions = lambda lock: {(package["name"], package["version"]) for package in tomllib.load(open(lock, "rb"))["package"]}
ours = versions("Cargo.lock")
names = {name for name, _ in ours}
mend = "run `cp Cargo.lock fuzz/ && cargo metadata --manifest-path fuzz/Cargo.toml >/dev/null`"
for name, version in sorted(versions("fuzz/Cargo.lock") - ours):
    if name in names:
        problems.append(f"fuzz/Cargo.lock: {name} {version} is another version than Cargo.lock's; {mend}")
fuzz = ["cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", "fuzz/Cargo.toml"]
fuzz = subprocess.run(fuzz, capture_output=True, text=True)
if fuzz.returncode != 0:
    problems.append(f"fuzz/Cargo.lock is not that of fuzz/Cargo.toml: {fuzz.stderr.strip()}; {mend}")

print("\n".join(problems) or f"{len(metadata['packages']) - len(members)} dependencies: licences, bans and sources are as deny.toml says")
sys.exit(bool(problems))
