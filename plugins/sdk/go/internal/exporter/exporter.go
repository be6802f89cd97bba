// Package exporter is what the generated exports call.
package exporter

import (
	"flagpost/internal/wit/imports/flagpost_plugin_events"
	"flagpost/internal/wit/runtime"
	"flagpost/internal/wit/types"
)

// Result of a call.
type Result = types.Result[types.Unit, flagpost_plugin_events.ExportError]

// Set by flagpost.Serve.
var (
	Run  func([]flagpost_plugin_events.Event) Result
	Bulk func() bool
)

// Export is the plugin's `export`.
func Export(events []flagpost_plugin_events.Event) Result {
	runtime.CollectIfDue()
	return Run(events)
}

// IsBulk is the plugin's `is-bulk`.
func IsBulk() bool { return Bulk() }
