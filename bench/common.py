"""What the benches share."""
import json, os, pathlib, socket, subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def program():
    """The program under test: `RELAY_UNDER_TEST`, or a release build."""
    if given := os.environ.get("RELAY_UNDER_TEST"):
        return given
    subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "flagpost"], cwd=ROOT, check=True)
    return str(target_directory() / "release" / "flagpost")


def target_directory():
    metadata = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT, check=True, capture_output=True).stdout
    return pathlib.Path(json.loads(metadata)["target_directory"])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
