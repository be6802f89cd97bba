// What Go's text/template makes of templates and events: the oracle of host/event/tests/templates.rs.
//
// Reads cases.json (templates and events per kind) from standard input and prints, for each kind and each template, whether it
// parses, and the output for each event, null for an error. The structs have the fields of upstream's events and the template's data is built as upstream builds it.
//
//	TZ=Asia/Tokyo go run main.go <cases.json >recorded.jsonl
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"text/template"
	"time"
	_ "time/tzdata"
)

type FeatureEvent struct {
	Kind         string         `json:"kind"`
	ContextKind  string         `json:"contextKind"`
	UserKey      string         `json:"userKey"`
	CreationDate int64          `json:"creationDate"`
	Key          string         `json:"key"`
	Variation    string         `json:"variation"`
	Value        any            `json:"value"`
	Default      bool           `json:"default"`
	Version      string         `json:"version"`
	Source       string         `json:"source"`
	Metadata     map[string]any `json:"metadata"`
}

// ConvertValueForParquet is the value as JSON text.
func (f FeatureEvent) ConvertValueForParquet() (string, error) {
	if f.Value == nil {
		return "", fmt.Errorf("no value")
	}
	text, err := json.Marshal(f.Value)
	return string(text), err
}

func (f FeatureEvent) GetKey() string         { return f.Key }
func (f FeatureEvent) GetUserKey() string     { return f.UserKey }
func (f FeatureEvent) GetCreationDate() int64 { return f.CreationDate }

type TrackingEvent struct {
	Kind              string         `json:"kind"`
	ContextKind       string         `json:"contextKind"`
	UserKey           string         `json:"userKey"`
	CreationDate      int64          `json:"creationDate"`
	Key               string         `json:"key"`
	EvaluationContext map[string]any `json:"evaluationContext"`
	TrackingDetails   map[string]any `json:"trackingEventDetails"`
}

func (f TrackingEvent) GetKey() string         { return f.Key }
func (f TrackingEvent) GetUserKey() string     { return f.UserKey }
func (f TrackingEvent) GetCreationDate() int64 { return f.CreationDate }

type cases struct {
	Templates []string          `json:"templates"`
	Events    []json.RawMessage `json:"events"`
}

// recorded is what became of a template: refused by the parser, or an output per event, null for an error.
type recorded struct {
	Template string    `json:"template"`
	Refused  bool      `json:"refused,omitempty"`
	Outputs  []*string `json:"outputs,omitempty"`
}

func data(kind string, raw json.RawMessage) (any, error) {
	date := func(seconds int64) string { return time.Unix(seconds, 0).Format(time.RFC3339) }
	if kind == "feature" {
		var event FeatureEvent
		err := json.Unmarshal(raw, &event)
		return struct {
			FeatureEvent
			FormattedDate string
		}{event, date(event.CreationDate)}, err
	}
	var event TrackingEvent
	err := json.Unmarshal(raw, &event)
	return struct {
		TrackingEvent
		FormattedDate string
	}{event, date(event.CreationDate)}, err
}

func run(kind string, text string, events []json.RawMessage) recorded {
	parsed, err := template.New("template").Parse(text)
	if err != nil {
		return recorded{Template: text, Refused: true}
	}
	all := recorded{Template: text}
	for _, raw := range events {
		event, err := data(kind, raw)
		if err != nil {
			panic(err)
		}
		var out bytes.Buffer
		if err := parsed.Execute(&out, event); err != nil {
			all.Outputs = append(all.Outputs, nil)
		} else {
			text := out.String()
			all.Outputs = append(all.Outputs, &text)
		}
	}
	return all
}

func main() {
	var input map[string]cases
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		panic(err)
	}
	output := map[string][]recorded{}
	for kind, table := range input {
		for _, text := range table.Templates {
			output[kind] = append(output[kind], run(kind, text, table.Events))
		}
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	// One line per template, so that differences can be read.
	for _, kind := range []string{"feature", "tracking"} {
		for _, one := range output[kind] {
			if err := encoder.Encode(map[string]any{"kind": kind, "recorded": one}); err != nil {
				panic(err)
			}
		}
	}
}
