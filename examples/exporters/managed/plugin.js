// A custom exporter for flagpost on the full contract: POSTs each batch, which comes as a JSON array, to an API that wants a key.
//
// Build: `flagpost plugin build`. Configuration: `config: { endpoint: "https://…", key: "…" }` and the endpoint in `allowedHosts`.

import { send } from 'flagpost:plugin/http@0.1.0';

// What the operator may write below `config:`. The relay checks it and points at the line that does not fit.
const schema = {
  type: 'object',
  required: ['endpoint'],
  properties: {
    endpoint: { type: 'string', description: 'Where events are sent.' },
    key: { type: 'string', description: 'Sent as a bearer token.' },
  },
  additionalProperties: false,
};

let settings;

export const managedExporter = {
  // Asked once, in an instance of its own, with nothing granted.
  describe: () => ({
    name: 'post-json',
    version: '0.1.0',
    configSchema: JSON.stringify(schema),
    kinds: [], // Both.
    encoding: 'json-array',
    maxEvents: 0, // The relay's own limits.
    maxBytes: 0,
  }),

  // Called once in each instance, before anything below. What is thrown is what can never work; whether the API answers is for `export`.
  configure(config) {
    settings = JSON.parse(config);
    if (/^https?:\/\//.test(settings.endpoint)) return;
    throw [{ path: 'endpoint', message: 'expected an address that begins with https:// or http://' }];
  },

  // Batches, not single events.
  isBulk: () => true,

  // To return means: these events are safe at the API. What is thrown says what the relay is to do with them.
  export({ id, payload }) {
    const { endpoint, key } = settings;
    const headers = [['content-type', 'application/json'], ['idempotency-key', id]];
    if (key) headers.push(['authorization', `Bearer ${key}`]);

    const { status, headers: answered, body } = post(endpoint, headers, payload.val);
    if (status < 300) return;
    if (status === 401 || status === 403) throw misconfigured(`HTTP ${status}: is config.key right?`);
    if (status === 408 || status === 429 || status >= 500) throw later(`HTTP ${status}`, retryAfter(answered));
    throw rejected(`HTTP ${status}: ${body}`);
  },

  close() {},
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
