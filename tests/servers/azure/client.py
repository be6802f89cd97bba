"""Microsoft's own client for Azure Storage, told what to do (tests/support/servers/azurite.rs): one JSON command per line in, one JSON answer per
line out: {"endpoint", "account", "key", "operation", "container", ...}, with "ca" where the endpoint has a certificate of a test's. The answer is {"ok": ...} or {"error": code, "status": ...}.
"""

import base64
import datetime
import json
import sys

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient, generate_container_sas


def service(command):
    credential = {"account_name": command["account"], "account_key": command["key"]}
    return BlobServiceClient(command["endpoint"], credential=credential, retry_total=0, connection_verify=command.get("ca", True))


def signature(command):
    """A container's signed query: with the rights `rights`, for `hours` from now on."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return generate_container_sas(
        command["account"],
        command["container"],
        account_key=command["key"],
        permission=command["rights"],
        start=now - datetime.timedelta(hours=2),
        expiry=now + datetime.timedelta(hours=command["hours"]),
    )


def listed(command):
    """All blobs, those without a committed block included: name, size, metadata."""
    found = service(command).get_container_client(command["container"]).list_blobs(include=["metadata", "uncommittedblobs"])
    return [{"name": blob.name, "size": blob.size, "metadata": blob.metadata, "type": str(blob.blob_type)} for blob in found]


def got(command):
    blob = service(command).get_blob_client(command["container"], command["blob"])
    return base64.b64encode(blob.download_blob().readall()).decode()


def put(command):
    blob = service(command).get_blob_client(command["container"], command["blob"])
    blob.upload_blob(base64.b64decode(command["bytes"]), metadata=command["metadata"])


def uncommitted(command):
    return len(service(command).get_blob_client(command["container"], command["blob"]).get_block_list("uncommitted")[1])


OPERATIONS = {
    "create": lambda command: service(command).create_container(command["container"]) and None,
    "list": listed,
    "get": got,
    "put": put,
    "signature": signature,
    "uncommitted": uncommitted,
}


def run(command):
    try:
        return {"ok": OPERATIONS[command["operation"]](command)}
    except AzureError as error:
        return {"error": str(getattr(error, "error_code", None) or error), "status": getattr(error, "status_code", None) or 0}


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
