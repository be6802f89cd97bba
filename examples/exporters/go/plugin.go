// A custom exporter for flagpost: POSTs each batch as a JSON array to an API that wants a key.
//
// Build: `flagpost plugin build`. Configuration: `config: { endpoint: "https://…", key: "…" }` and the endpoint in `allowedHosts`.
package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"flagpost"
)

func init() { flagpost.Serve(flagpost.Exporter{Bulk: true, Export: export}) }

func main() {}

// nil means: these events are safe at the API. Everything else says what the relay is to do with them.
func export(events []flagpost.Event) error {
	var config struct{ Endpoint, Key string }
	if err := json.Unmarshal(flagpost.Config(), &config); err != nil {
		return flagpost.Misconfigured{What: "config: " + err.Error()}
	}
	if config.Endpoint == "" {
		return flagpost.Misconfigured{What: "config.endpoint is missing: where shall the events go?"}
	}
	rows := make([]any, len(events))
	for i, event := range events {
		rows[i] = toJSON(event)
	}
	body, err := json.Marshal(rows)
	if err != nil {
		return flagpost.Rejected{Reason: err.Error()}
	}
	header := map[string]string{"content-type": "application/json", "idempotency-key": flagpost.BatchID()}
	if config.Key != "" {
		header["authorization"] = "Bearer " + config.Key
	}

	reply, err := flagpost.Send(flagpost.Request{Method: "POST", URL: config.Endpoint, Header: header, Body: body})
	switch status := reply.Status; {
	case err != nil:
		return err
	case status < 300:
		return nil
	case status == 401 || status == 403:
		return flagpost.Misconfigured{What: fmt.Sprintf("HTTP %d: is config.key right?", status)}
	case status == 408 || status == 429 || status >= 500:
		return flagpost.Retryable{Reason: fmt.Sprintf("HTTP %d", status), After: retryAfter(reply)}
	default:
		return flagpost.Rejected{Reason: fmt.Sprintf("HTTP %d: %s", status, reply.Body)}
	}
}

// The header `Retry-After`, when it counts seconds.
func retryAfter(reply flagpost.Response) time.Duration {
	seconds, err := strconv.ParseUint(reply.Header["retry-after"], 10, 20)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// An event under GO Feature Flag's own field names.
func toJSON(event flagpost.Event) map[string]any {
	if event.Tag() == flagpost.Tracking {
		e := event.Tracking()
		return map[string]any{
			"kind": e.Kind, "contextKind": e.ContextKind, "userKey": e.UserKey, "creationDate": e.CreationDate, "key": e.Key,
			"evaluationContext":    json.RawMessage(e.EvaluationContextJson),
			"trackingEventDetails": json.RawMessage(e.TrackingEventDetailsJson),
		}
	}
	e := event.Feature()
	row := map[string]any{
		"kind": e.Kind, "contextKind": e.ContextKind, "userKey": e.UserKey, "creationDate": e.CreationDate, "key": e.Key,
		"variation": e.Variation, "value": json.RawMessage(e.ValueJson), "default": e.Default, "version": e.Version, "source": e.Source,
	}
	if e.MetadataJson.Tag() != 0 {
		row["metadata"] = json.RawMessage(e.MetadataJson.Some())
	}
	return row
}
