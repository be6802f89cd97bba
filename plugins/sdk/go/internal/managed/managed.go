// Package managed is what the generated exports of the full contract call.
package managed

import (
	"flagpost/internal/wit/imports/flagpost_plugin_events"
	wire "flagpost/internal/wit/imports/flagpost_plugin_managed_exporter"
	"flagpost/internal/wit/runtime"
	"flagpost/internal/wit/types"
)

// What the calls give.
type (
	Configured = types.Result[types.Unit, []wire.Diagnostic]
	Exported   = types.Result[types.Unit, flagpost_plugin_events.ExportError]
)

// Set by flagpost.ServeManaged.
var (
	Descriptor wire.Descriptor
	Setup      func(config string) Configured
	Bulk       bool
	Run        func(wire.Batch) Exported
	End        func()
)

// Describe is the plugin's `describe`.
func Describe() wire.Descriptor { return Descriptor }

// Configure is the plugin's `configure`.
func Configure(config string) Configured { return Setup(config) }

// IsBulk is the plugin's `is-bulk`.
func IsBulk() bool { return Bulk }

// Export is the plugin's `export`.
func Export(batch wire.Batch) Exported {
	runtime.CollectIfDue()
	return Run(batch)
}

// Close is the plugin's `close`.
func Close() { End() }
