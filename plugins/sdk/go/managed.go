package flagpost

import (
	"flagpost/internal/managed"
	wire "flagpost/internal/wit/imports/flagpost_plugin_managed_exporter"
	_ "flagpost/internal/wit/managed_exports/wit_exports" // The component's exports, in the world managed-plugin.
	"flagpost/internal/wit/types"
)

// An Encoding is how a batch's events come.
type Encoding = wire.Encoding

// Encodings. Reading Typed costs 5 to 100 times what passing a text on does.
const (
	Typed     = wire.Encoding_Typed     // Batch.Events.
	JSONArray = wire.Encoding_JsonArray // Batch.JSON: one array.
	JSONLines = wire.Encoding_JsonLines // Batch.JSON: one event per line, each ended by a line feed.
)

// A Kind is a kind of events. All events of one batch are of one kind.
type Kind = wire.EventKind

// Kinds of events.
const (
	FeatureEvents  = wire.EventKind_Feature
	TrackingEvents = wire.EventKind_Tracking
)

// A Diagnostic is one complaint about the configuration.
type Diagnostic struct {
	// Where: "endpoint", "retry.max", "hosts[2]", or a JSON pointer; "" is the whole.
	Path string
	// What is wrong and what was expected. Shown to the operator: do not repeat secrets.
	Message string
}

// A Batch is the events of one call.
type Batch struct {
	// ID names exactly these events: an idempotency key.
	ID string
	// Attempt counts from 1.
	Attempt uint32
	// Count is how many events there are.
	Count uint32
	Kind  Kind
	// JSON is the events as a text, unless they come Typed.
	JSON string
	// Events is them when they come Typed.
	Events []Event
}

// A Managed exporter is a plugin of the full contract: it describes itself and is configured.
type Managed struct {
	// For operators: "acme", "1.2.0".
	Name, Version string
	// JSON Schema of the exporter's `config:`, which the relay checks; "" takes no configuration.
	ConfigSchema string
	// None: both.
	Kinds    []Kind
	Encoding Encoding
	// Most events and bytes per call; 0: the relay's own limits.
	MaxEvents, MaxBytes uint32
	// Bulk exporters get batches, others events as they arrive.
	Bulk bool
	// Configure takes the `config:` as JSON, once in each instance, before anything else. Complaints keep the plugin from running. Optional.
	Configure func(config []byte) []Diagnostic
	// Export delivers a batch, and answers as Exporter.Export does.
	Export func(Batch) error
	// Close is called at an orderly end, maybe never: keep caches, never events. Optional.
	Close func()
}

// ServeManaged says what the plugin does. To be called from an init function, instead of Serve; the world is managed-plugin then.
func ServeManaged(plugin Managed) {
	managed.Descriptor = wire.Descriptor{
		Name: plugin.Name, Version: plugin.Version, ConfigSchema: plugin.ConfigSchema, Kinds: plugin.Kinds, Encoding: plugin.Encoding,
		MaxEvents: plugin.MaxEvents, MaxBytes: plugin.MaxBytes,
	}
	managed.Bulk = plugin.Bulk
	managed.Setup = func(config string) managed.Configured {
		if plugin.Configure == nil {
			return types.Ok[types.Unit, []wire.Diagnostic](types.Unit{})
		}
		var complaints []wire.Diagnostic
		for _, diagnostic := range plugin.Configure([]byte(config)) {
			complaints = append(complaints, wire.Diagnostic(diagnostic))
		}
		if len(complaints) > 0 {
			return types.Err[types.Unit](complaints)
		}
		return types.Ok[types.Unit, []wire.Diagnostic](types.Unit{})
	}
	managed.Run = func(batch wire.Batch) managed.Exported { return outcome(plugin.Export(batchOf(batch))) }
	managed.End = func() {
		if plugin.Close != nil {
			plugin.Close()
		}
	}
}

func batchOf(in wire.Batch) Batch {
	batch := Batch{ID: in.Id, Attempt: in.Attempt, Count: in.Count, Kind: in.Kind}
	switch in.Payload.Tag() {
	case wire.Payload_Typed:
		batch.Events = in.Payload.Typed()
	case wire.Payload_JsonArray:
		batch.JSON = in.Payload.JsonArray()
	case wire.Payload_JsonLines:
		batch.JSON = in.Payload.JsonLines()
	}
	return batch
}
