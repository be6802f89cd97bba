"""Amazon's own client for Python, told what to do (tests/support/servers/boto.rs): one JSON command per line in, one JSON answer per line out.

A command names a server, a service, an operation and its arguments: {"server": {"endpoint", "region", "key", "secret", "token"}, "service": "sqs",
"operation": "send_message", "arguments": {...}}. Bytes are {"base64": "..."} in both directions. The answer is {"ok": ...} or {"error": code,
"message": ..., "status": ...}.
"""

import base64
import datetime
import functools
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


@functools.lru_cache(maxsize=None)
def client(service, endpoint, region, key, secret, token):
    config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=config,
    )


def plain(value):
    """An answer's value as JSON has it."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if hasattr(value, "read"):
        return plain(value.read())
    return value


def given(value):
    """A command's value as boto3 has it."""
    if isinstance(value, dict):
        if set(value) == {"base64"}:
            return base64.b64decode(value["base64"])
        return {name: given(item) for name, item in value.items()}
    if isinstance(value, list):
        return [given(item) for item in value]
    return value


def run(command):
    server = command["server"]
    asked = client(command["service"], server["endpoint"], server["region"], server["key"], server["secret"], server.get("token"))
    try:
        return {"ok": plain(getattr(asked, command["operation"])(**given(command["arguments"])))}
    except ClientError as error:
        response = error.response
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return {"error": response["Error"].get("Code", ""), "message": response["Error"].get("Message", ""), "status": status}
    except BotoCoreError as error:
        return {"error": type(error).__name__, "message": str(error), "status": 0}


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
