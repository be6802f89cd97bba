// The contract in wit/flagpost.wit as the compiler sees it.

/** One flag evaluation, as GO Feature Flag exports it. */
interface FeatureEvent {
  kind: string;
  contextKind: string;
  userKey: string;
  /** Unix seconds; a BigInt in some engines: `Number(event.creationDate)`. */
  creationDate: number | bigint;
  /** The flag. */
  key: string;
  variation: string;
  /** JSON text. */
  valueJson: string;
  default: boolean;
  version: string;
  source: string;
  /** JSON object text. */
  metadataJson?: string | null;
}

/** One call of OpenFeature's `track`. */
interface TrackingEvent {
  kind: string;
  contextKind: string;
  userKey: string;
  /** Unix seconds, as above. */
  creationDate: number | bigint;
  /** The event's name. */
  key: string;
  /** JSON object text or "null". */
  evaluationContextJson: string;
  /** JSON object text or "null". */
  trackingEventDetailsJson: string;
}

/** All events of one call are of the same kind. */
type FlagpostEvent = { tag: 'feature'; val: FeatureEvent } | { tag: 'tracking'; val: TrackingEvent };

/** To be thrown by `export`: what became of the events instead of "safe at the destination". */
type ExportError =
  | { tag: 'retryable'; val: { reason: string; afterMs?: number } }
  | { tag: 'rejected'; val: string }
  | { tag: 'partial'; val: { retry: number[]; rejected: { index: number; reason: string }[]; afterMs?: number } }
  | { tag: 'misconfigured'; val: string };

/** What a plugin exports as `exporter`. */
interface Exporter {
  /** Returns when all events are safe at the destination; otherwise throws an `ExportError`. */
  export(events: FlagpostEvent[]): void;
  /** true: batches; false: events as they arrive. */
  isBulk(): boolean;
}

/** What a plugin says about itself. */
interface Descriptor {
  name: string;
  version: string;
  /** JSON Schema of the exporter's `config:`; "" takes none. */
  configSchema: string;
  /** None: both. */
  kinds: ('feature' | 'tracking')[];
  /** What `payload` will be. */
  encoding: 'typed' | 'json-array' | 'json-lines';
  /** Most events per call; 0: the relay's own limit. */
  maxEvents: number;
  /** Most bytes per call; 0: the relay's own limit. */
  maxBytes: number;
}

/** One complaint about the configuration: `retry.max`, `hosts[2]`, or "" for the whole. */
interface Diagnostic {
  path: string;
  message: string;
}

/** The events of one call. */
interface Batch {
  /** Names exactly these events: an idempotency key. */
  id: string;
  /** From 1. */
  attempt: number;
  count: number;
  kind: 'feature' | 'tracking';
  payload: { tag: 'typed'; val: FlagpostEvent[] } | { tag: 'json-array'; val: string } | { tag: 'json-lines'; val: string };
}

/** What a plugin of the world `managed-plugin` exports as `managedExporter`. */
interface ManagedExporter {
  /** Asked once, with nothing granted. */
  describe(): Descriptor;
  /** Called once in each instance, before anything but `describe`. Throws `Diagnostic[]`: the plugin does not run then. */
  configure(configJson: string): void;
  /** true: batches; false: events as they arrive. */
  isBulk(): boolean;
  /** Returns when all events are safe at the destination; otherwise throws an `ExportError`. */
  export(batch: Batch): void;
  /** Nothing more comes to this instance. Best effort. */
  close(): void;
}

/** What `send` throws stands in `payload`. */
interface SendFailed {
  payload: { tag: 'denied' | 'connect' | 'other'; val: string } | { tag: 'timeout'; val?: undefined };
}

declare module 'flagpost:plugin/config@0.1.0' {
  /** The exporter's `config:` as JSON text, "{}" when there is none. */
  export function get(): string;
}

declare module 'flagpost:plugin/call@0.1.0' {
  /** Names exactly these events: an idempotency key. */
  export function batchId(): string;
  /** From 1. */
  export function attempt(): number;
}

declare module 'flagpost:plugin/log@0.1.0' {
  export function log(level: 'trace' | 'debug' | 'info' | 'warn' | 'error', message: string): void;
}

declare module 'flagpost:plugin/http@0.1.0' {
  export interface HttpRequest {
    method: string;
    url: string;
    headers: [string, string][];
    body: { tag: 'empty' } | { tag: 'text'; val: string } | { tag: 'bytes'; val: Uint8Array };
    timeoutMs?: number;
  }
  export interface HttpResponse {
    status: number;
    /** Names in lower case. */
    headers: [string, string][];
    body: string;
  }
  /** Throws `SendFailed`. */
  export function send(request: HttpRequest): HttpResponse;
}

declare module 'flagpost:plugin/secrets@0.1.0' {
  /** A placeholder for a header's value (`as: header`), or the secret itself (`as: reveal`). */
  export function get(name: string): string | null | undefined;
}

declare module 'flagpost:plugin/metrics@0.1.0' {
  /** Names are `[a-z][a-z0-9_]*`; what goes beyond the relay's bounds is dropped and counted. */
  export function counterAdd(name: string, value: number, labels: [string, string][]): void;
  export function gaugeSet(name: string, value: number, labels: [string, string][]): void;
  export function gaugeAdd(name: string, value: number, labels: [string, string][]): void;
}

declare module 'flagpost:plugin/key-value@0.1.0' {
  /** Throws `{ payload: { tag: 'denied' | 'quota' | 'other', val } }`. A cursor, a token, a cache; never events. */
  export function get(key: string): Uint8Array | null | undefined;
  export function set(key: string, value: Uint8Array): void;
  export function listKeys(prefix: string): string[];
  function remove(key: string): void;
  export { remove as delete };
}
