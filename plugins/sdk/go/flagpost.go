// Package flagpost is the Go side of the contract in wit/flagpost.wit: what a custom exporter is given and what it answers.
package flagpost

import (
	"errors"
	"math"
	"strings"
	"time"

	"flagpost/internal/exporter"
	_ "flagpost/internal/wit/exports/wit_exports" // The component's exports.
	"flagpost/internal/wit/imports/flagpost_plugin_call"
	"flagpost/internal/wit/imports/flagpost_plugin_config"
	"flagpost/internal/wit/imports/flagpost_plugin_events"
	wire "flagpost/internal/wit/imports/flagpost_plugin_http"
	"flagpost/internal/wit/imports/flagpost_plugin_key_value"
	"flagpost/internal/wit/imports/flagpost_plugin_log"
	"flagpost/internal/wit/imports/flagpost_plugin_metrics"
	"flagpost/internal/wit/imports/flagpost_plugin_secrets"
	"flagpost/internal/wit/types"
)

// An Event is a FeatureEvent (Tag() == Feature) or a TrackingEvent. All events of one call are of the same kind.
type Event = flagpost_plugin_events.Event

// A FeatureEvent is one flag evaluation, as GO Feature Flag exports it.
type FeatureEvent = flagpost_plugin_events.FeatureEvent

// A TrackingEvent is one call of OpenFeature's `track`.
type TrackingEvent = flagpost_plugin_events.TrackingEvent

// Tags of events.
const (
	Feature  = flagpost_plugin_events.Event_Feature
	Tracking = flagpost_plugin_events.Event_Tracking
)

// An Exporter is a plugin.
type Exporter struct {
	// Bulk exporters get batches, others one event per call.
	Bulk bool
	// Export delivers events. nil means: all of them are safe at the destination. An error is a Retryable, Rejected, Partial or
	// Misconfigured; any other one is taken for a Retryable. What is kept in memory between calls can be lost.
	Export func(events []Event) error
}

// Serve says what the plugin does. To be called from an init function.
func Serve(plugin Exporter) {
	exporter.Bulk = func() bool { return plugin.Bulk }
	exporter.Run = func(events []Event) exporter.Result { return outcome(plugin.Export(events)) }
}

// Retryable: the same events again, not before After (0: the relay's own back-off).
type Retryable struct {
	Reason string
	After  time.Duration
}

// Rejected: the destination will never take this batch as it is.
type Rejected struct{ Reason string }

// Partial: these places in the call's events, from 0, come again; these never can be delivered, for that reason; all others were delivered.
type Partial struct {
	Retry    []uint32
	Rejected map[uint32]string
	After    time.Duration
}

// Misconfigured: nothing can be delivered until an operator changes something. Events wait.
type Misconfigured struct{ What string }

func (e Retryable) Error() string     { return e.Reason }
func (e Rejected) Error() string      { return e.Reason }
func (e Partial) Error() string       { return "a part of the events was not delivered" }
func (e Misconfigured) Error() string { return e.What }

func outcome(err error) exporter.Result {
	if err != nil {
		return types.Err[types.Unit](answer(err))
	}
	return types.Ok[types.Unit, flagpost_plugin_events.ExportError](types.Unit{})
}

func answer(err error) flagpost_plugin_events.ExportError {
	var (
		retryable     Retryable
		rejected      Rejected
		partial       Partial
		misconfigured Misconfigured
	)
	switch {
	case errors.As(err, &rejected):
		return flagpost_plugin_events.MakeExportErrorRejected(err.Error())
	case errors.As(err, &misconfigured):
		return flagpost_plugin_events.MakeExportErrorMisconfigured(err.Error())
	case errors.As(err, &partial):
		failure := flagpost_plugin_events.PartialFailure{Retry: partial.Retry, AfterMs: millis(partial.After)}
		for index, reason := range partial.Rejected {
			failure.Rejected = append(failure.Rejected, flagpost_plugin_events.RejectedEvent{Index: index, Reason: reason})
		}
		return flagpost_plugin_events.MakeExportErrorPartial(failure)
	}
	errors.As(err, &retryable)
	return flagpost_plugin_events.MakeExportErrorRetryable(
		flagpost_plugin_events.RetryLater{Reason: err.Error(), AfterMs: millis(retryable.After)})
}

func millis(d time.Duration) types.Option[uint32] {
	if d <= 0 {
		return types.None[uint32]()
	}
	return types.Some(uint32(min(d.Milliseconds(), math.MaxUint32)))
}

// Config is the exporter's `config:` as JSON, "{}" when there is none.
func Config() []byte { return []byte(flagpost_plugin_config.Get()) }

// BatchID names exactly the events of this call: an idempotency key.
func BatchID() string { return flagpost_plugin_call.BatchId() }

// Attempt counts the calls with this set of events, from 1.
func Attempt() uint32 { return flagpost_plugin_call.Attempt() }

// Log writes a line into the relay's log. What is printed arrives there, too.
func Log(line string) { flagpost_plugin_log.Log(flagpost_plugin_log.Level_Info, line) }

// Secret is one of the exporter's `secrets:`: a placeholder for a header's value (`as: header`), or the secret itself (`as: reveal`); "" if
// there is none of that name.
func Secret(name string) string {
	if secret := flagpost_plugin_secrets.Get(name); secret.Tag() == types.OptionSome {
		return secret.Some()
	}
	return ""
}

// CounterAdd adds to a counter of the plugin's own in the relay's /metrics.
func CounterAdd(name string, value float64) { flagpost_plugin_metrics.CounterAdd(name, value, nil) }

// GaugeSet sets a gauge of the plugin's own in the relay's /metrics.
func GaugeSet(name string, value float64) { flagpost_plugin_metrics.GaugeSet(name, value, nil) }

// Load is the value that Store gave the key, in whatever instance; nil if there is none. Needs the exporter's `state`. Never events.
func Load(key string) ([]byte, error) {
	result := flagpost_plugin_key_value.Get(key)
	if result.Tag() == types.ResultErr {
		return nil, unstored(result.Err())
	}
	if value := result.Ok(); value.Tag() == types.OptionSome {
		return value.Some(), nil
	}
	return nil, nil
}

// Store gives the key a value that outlives instances and the relay. Its errors can be returned from Export as they are.
func Store(key string, value []byte) error {
	if result := flagpost_plugin_key_value.Set(key, value); result.Tag() == types.ResultErr {
		return unstored(result.Err())
	}
	return nil
}

func unstored(err flagpost_plugin_key_value.Error) error {
	switch err.Tag() {
	case flagpost_plugin_key_value.Error_Denied:
		return Misconfigured{err.Denied()}
	case flagpost_plugin_key_value.Error_Quota:
		return Misconfigured{err.Quota()}
	default:
		return Retryable{Reason: err.Other()}
	}
}

// A Request goes out through the relay, to a host that `allowedHosts` grants.
type Request struct {
	Method string
	URL    string
	Header map[string]string
	Body   []byte
	// Of the whole exchange; 0: most of what is left of the call.
	Timeout time.Duration
}

// A Response has any status. Names of headers are in lower case.
type Response struct {
	Status int
	Header map[string]string
	Body   string
}

// Send sends a request and waits for the answer. Its errors can be returned from Export as they are: Misconfigured when the host is not
// granted, Retryable otherwise.
func Send(request Request) (Response, error) {
	out := wire.Request{Method: request.Method, Url: request.URL, Body: wire.MakeBodyEmpty(), TimeoutMs: millis(request.Timeout)}
	for name, value := range request.Header {
		out.Headers = append(out.Headers, types.Tuple2[string, string]{F0: name, F1: value})
	}
	if request.Body != nil {
		out.Body = wire.MakeBodyBytes(request.Body)
	}
	result := wire.Send(out)
	if result.Tag() == types.ResultErr {
		return Response{}, unsent(result.Err())
	}
	in := result.Ok()
	response := Response{Status: int(in.Status), Header: make(map[string]string, len(in.Headers)), Body: strings.Clone(in.Body)}
	for _, header := range in.Headers {
		response.Header[header.F0] = header.F1
	}
	return response, nil
}

func unsent(err wire.SendError) error {
	switch err.Tag() {
	case wire.SendError_Denied:
		return Misconfigured{err.Denied()}
	case wire.SendError_Timeout:
		return Retryable{Reason: "timeout"}
	case wire.SendError_Connect:
		return Retryable{Reason: "connect: " + err.Connect()}
	default:
		return Retryable{Reason: err.Other()}
	}
}
