// A custom exporter for flagpost: POSTs each batch as a JSON array to an API that wants a key.
//
// Build: `flagpost plugin build`. Configuration: `config: { endpoint: "https://…", key: "…" }` and the endpoint in `allowedHosts`.

import { get as config } from 'flagpost:plugin/config@0.1.0';
import { batchId } from 'flagpost:plugin/call@0.1.0';
import { send } from 'flagpost:plugin/http@0.1.0';

export const exporter = {
  // Batches, not single events.
  isBulk: () => true,

  // To return means: these events are safe at the API. What is thrown says what the relay is to do with them.
  export(events) {
    const { endpoint, key } = JSON.parse(config());
    if (!endpoint) throw misconfigured('config.endpoint is missing: where shall the events go?');
    const headers = [['content-type', 'application/json'], ['idempotency-key', batchId()]];
    if (key) headers.push(['authorization', `Bearer ${key}`]);

    const { status, headers: answered, body } = post(endpoint, headers, JSON.stringify(events.map(toJson)));
    if (status < 300) return;
    if (status === 401 || status === 403) throw misconfigured(`HTTP ${status}: is config.key right?`);
    if (status === 408 || status === 429 || status >= 500) throw later(`HTTP ${status}`, retryAfter(answered));
    throw rejected(`HTTP ${status}: ${body}`);
  },
};

function post(url, headers, body) {
  try {
    return send({ method: 'POST', url, headers, body: { tag: 'text', val: body } });
  } catch (error) {
    // What an import throws stands in `payload`.
    const { tag, val } = error.payload;
    throw tag === 'denied' ? misconfigured(val) : later(val ? `${tag}: ${val}` : tag);
  }
}

const misconfigured = (what) => ({ tag: 'misconfigured', val: what });
const rejected = (why) => ({ tag: 'rejected', val: why });
const later = (reason, afterMs) => ({ tag: 'retryable', val: { reason, afterMs } });

// The header `Retry-After` in milliseconds, when it counts seconds.
function retryAfter(headers) {
  const [, seconds] = headers.find(([name]) => name === 'retry-after') ?? [];
  return /^\d{1,6}$/.test(seconds) ? Number(seconds) * 1000 : undefined;
}

// An event under GO Feature Flag's own field names.
function toJson({ tag, val: e }) {
  const { kind, contextKind, userKey, key } = e;
  const common = { kind, contextKind, userKey, creationDate: Number(e.creationDate), key };
  if (tag === 'tracking') {
    const evaluationContext = JSON.parse(e.evaluationContextJson);
    return { ...common, evaluationContext, trackingEventDetails: JSON.parse(e.trackingEventDetailsJson) };
  }
  const { variation, version, source } = e;
  const metadata = e.metadataJson ? JSON.parse(e.metadataJson) : undefined;
  return { ...common, variation, value: JSON.parse(e.valueJson), default: e.default, version, source, metadata };
}
