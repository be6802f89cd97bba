"""A custom exporter for flagpost: POSTs each batch as a JSON array to an API that wants a key.

Build: `flagpost plugin build`. Configuration: `config: { endpoint: "https://…", key: "…" }` and the endpoint in `allowedHosts`.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import call, config, http
from wit_world.imports.events import (
    Event_Tracking,
    ExportError_Misconfigured,
    ExportError_Rejected,
    ExportError_Retryable,
    RetryLater,
)


class Exporter(exports.Exporter):
    def is_bulk(self):
        """Batches, not single events."""
        return True

    def export(self, events):
        """To return means: these events are safe at the API. What is raised says what the relay is to do with them."""
        settings = json.loads(config.get())
        url = settings.get("endpoint")
        if not url:
            raise misconfigured("config.endpoint is missing: where shall the events go?")
        headers = [("content-type", "application/json"), ("idempotency-key", call.batch_id())]
        if key := settings.get("key"):
            headers.append(("authorization", f"Bearer {key}"))
        body = json.dumps([to_json(event) for event in events], ensure_ascii=False, separators=(",", ":"))

        try:
            reply = http.send(http.Request("POST", url, headers, http.Body_Text(body), None))
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


def misconfigured(what):
    return Err(ExportError_Misconfigured(what))


def later(reason, after_ms=None):
    return Err(ExportError_Retryable(RetryLater(reason, after_ms)))


def retry_after(reply):
    """The header `Retry-After` in milliseconds, when it counts seconds."""
    seconds = dict(reply.headers).get("retry-after", "")
    return int(seconds) * 1000 if seconds.isdecimal() and len(seconds) < 7 else None


def to_json(event):
    """An event under GO Feature Flag's own field names."""
    e = event.value
    row = {"kind": e.kind, "contextKind": e.context_kind, "userKey": e.user_key, "creationDate": e.creation_date, "key": e.key}
    if isinstance(event, Event_Tracking):
        row["evaluationContext"] = json.loads(e.evaluation_context_json)
        row["trackingEventDetails"] = json.loads(e.tracking_event_details_json)
        return row
    row |= {"variation": e.variation, "value": json.loads(e.value_json), "default": e.default, "version": e.version, "source": e.source}
    if e.metadata_json is not None:
        row["metadata"] = json.loads(e.metadata_json)
    return row
