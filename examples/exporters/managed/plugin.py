"""A custom exporter for flagpost on the full contract: POSTs each batch, which comes as a JSON array, to an API that wants a key.

Build: `flagpost plugin build`. Configuration: `config: { endpoint: "https://…", key: "…" }` and the endpoint in `allowedHosts`.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.managed_exporter import Descriptor, Diagnostic, Encoding
from wit_world.imports import http
from wit_world.imports.events import ExportError_Misconfigured, ExportError_Rejected, ExportError_Retryable, RetryLater

# What the operator may write below `config:`. The relay checks it and points at the line that does not fit.
SCHEMA = {
    "type": "object",
    "required": ["endpoint"],
    "properties": {
        "endpoint": {"type": "string", "description": "Where events are sent."},
        "key": {"type": "string", "description": "Sent as a bearer token."},
    },
    "additionalProperties": False,
}

settings = {}


class ManagedExporter(exports.ManagedExporter):
    def describe(self):
        """Asked once, in an instance of its own, with nothing granted."""
        # No kinds: both. 0: the relay's own limits.
        return Descriptor("post-json", "0.1.0", json.dumps(SCHEMA), [], Encoding.JSON_ARRAY, 0, 0)

    def configure(self, config_json):
        """Called once in each instance, before anything below. What is raised is what can never work; whether the API answers is for `export`."""
        settings.update(json.loads(config_json))
        if not settings["endpoint"].startswith(("https://", "http://")):
            raise Err([Diagnostic("endpoint", "expected an address that begins with https:// or http://")])

    def is_bulk(self):
        """Batches, not single events."""
        return True

    def export(self, batch):
        """To return means: these events are safe at the API. What is raised says what the relay is to do with them."""
        headers = [("content-type", "application/json"), ("idempotency-key", batch.id)]
        if key := settings.get("key"):
            headers.append(("authorization", f"Bearer {key}"))

        try:
            reply = http.send(http.Request("POST", settings["endpoint"], headers, http.Body_Text(batch.payload.value), None))
        except Err as error:
            # Every case but the timeout is a text.
            why = getattr(error.value, "value", "timeout")
            raise misconfigured(why) if isinstance(error.value, http.SendError_Denied) else later(why)
        match reply.status:
            case status if status < 300:
                return
            case 401 | 403:
                raise misconfigured(f"HTTP {reply.status}: is config.key right?")
            case status if status in (408, 429) or status >= 500:
                raise later(f"HTTP {status}", retry_after(reply))
            case status:
                raise Err(ExportError_Rejected(f"HTTP {status}: {reply.body}"))

    def close(self):
        pass


def misconfigured(what):
    return Err(ExportError_Misconfigured(what))


def later(reason, after_ms=None):
    return Err(ExportError_Retryable(RetryLater(reason, after_ms)))


def retry_after(reply):
    """The header `Retry-After` in milliseconds, when it counts seconds."""
    seconds = dict(reply.headers).get("retry-after", "")
    return int(seconds) * 1000 if seconds.isdecimal() and len(seconds) < 7 else None
