// A custom exporter for flagpost on the full contract: POSTs each batch, which comes as a JSON array, to an API that wants a key.
//
// Build: `flagpost plugin build`. Configuration: `config: { endpoint: "https://…", key: "…" }` and the endpoint in `allowedHosts`.
package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"flagpost"
)

// What the operator may write below `config:`. The relay checks it and points at the line that does not fit.
const schema = `{
  "type": "object",
  "required": ["endpoint"],
  "properties": {
    "endpoint": { "type": "string", "description": "Where events are sent." },
    "key": { "type": "string", "description": "Sent as a bearer token." }
  },
  "additionalProperties": false
}`

var settings struct{ Endpoint, Key string }

func init() {
	flagpost.ServeManaged(flagpost.Managed{
		Name: "post-json", Version: "0.1.0", ConfigSchema: schema, Encoding: flagpost.JSONArray,
		Bulk: true, Configure: configure, Export: export,
	})
}

func main() {}

// Called once in each instance, before export. Complaints are for what can never work; whether the API answers is for export.
func configure(config []byte) []flagpost.Diagnostic {
	if err := json.Unmarshal(config, &settings); err != nil {
		return []flagpost.Diagnostic{{Message: err.Error()}}
	}
	if !strings.HasPrefix(settings.Endpoint, "https://") && !strings.HasPrefix(settings.Endpoint, "http://") {
		return []flagpost.Diagnostic{{Path: "endpoint", Message: "expected an address that begins with https:// or http://"}}
	}
	return nil
}

// nil means: these events are safe at the API. Everything else says what the relay is to do with them.
func export(batch flagpost.Batch) error {
	header := map[string]string{"content-type": "application/json", "idempotency-key": batch.ID}
	if settings.Key != "" {
		header["authorization"] = "Bearer " + settings.Key
	}

	reply, err := flagpost.Send(flagpost.Request{Method: "POST", URL: settings.Endpoint, Header: header, Body: []byte(batch.JSON)})
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
