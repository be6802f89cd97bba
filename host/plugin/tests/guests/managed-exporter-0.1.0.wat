;; The smallest guest of `flagpost:plugin/managed-exporter@0.1.0`, written out by hand and kept with the interface: it proves that a plugin built against 0.1.0
;; still runs. Never edit the types below. Tests replace DATA, DESCRIBE, CONFIGURE, EXPORT and CLOSE.
(component
  (type $events-type (instance
    (type $feature-record (record
      (field "kind" string) (field "context-kind" string) (field "user-key" string) (field "creation-date" s64) (field "key" string)
      (field "variation" string) (field "value-json" string) (field "default" bool) (field "version" string) (field "source" string)
      (field "metadata-json" (option string))))
    (export "feature-event" (type $feature (eq $feature-record)))
    (type $tracking-record (record
      (field "kind" string) (field "context-kind" string) (field "user-key" string) (field "creation-date" s64) (field "key" string)
      (field "evaluation-context-json" string) (field "tracking-event-details-json" string)))
    (export "tracking-event" (type $tracking (eq $tracking-record)))
    (type $event-variant (variant (case "feature" $feature) (case "tracking" $tracking)))
    (export "event" (type (eq $event-variant)))
    (type $later-record (record (field "reason" string) (field "after-ms" (option u32))))
    (export "retry-later" (type $later (eq $later-record)))
    (type $rejected-record (record (field "index" u32) (field "reason" string)))
    (export "rejected-event" (type $rejected (eq $rejected-record)))
    (type $partial-record (record (field "retry" (list u32)) (field "rejected" (list $rejected)) (field "after-ms" (option u32))))
    (export "partial-failure" (type $partial (eq $partial-record)))
    (type $error-variant (variant
      (case "retryable" $later) (case "rejected" string) (case "partial" $partial) (case "misconfigured" string)))
    (export "export-error" (type (eq $error-variant)))))
  (import "flagpost:plugin/events@0.1.0" (instance $events (type $events-type)))
  (alias export $events "event" (type $event))
  (alias export $events "export-error" (type $export-error))

  (core module $module
    (memory (export "memory") 2)
    (global $calls (mut i32) (i32.const 0))
    (global $top (mut i32) (i32.const 4096))
    ;; Data below 1024 is the test's; results are written at 1024.
    DATA
    (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1))) (i32.sub (i32.const 0) (local.get $align))))
      (global.set $top (i32.add (local.get $at) (local.get $size)))
      (block $fits
        (br_if $fits (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $fits (i32.ne (i32.const -1) (memory.grow
          (i32.add (i32.const 1) (i32.div_u (i32.sub (global.get $top) (i32.mul (memory.size) (i32.const 65536))) (i32.const 65536))))))
        (unreachable))
      (local.get $at))
    ;; The descriptor at 1024: name 0, version 8, config-schema 16, kinds 24, encoding 32, max-events 36, max-bytes 40.
    (func (export "describe") (result i32) DESCRIBE (i32.const 1024))
    ;; The configuration's text; `ok` unless something is written at 1024: result 0, diagnostics 4.
    (func (export "configure") (param $config i32) (param $length i32) (result i32)
      (i64.store (i32.const 1024) (i64.const 0)) (i64.store (i32.const 1032) (i64.const 0))
      CONFIGURE
      (i32.const 1024))
    (func (export "is-bulk") (result i32) (i32.const 1))
    ;; The batch, flattened: id, attempt, count, kind, payload's case and its two words.
    (func (export "export")
      (param $id i32) (param $id-length i32) (param $attempt i32) (param $count i32) (param $kind i32)
      (param $case i32) (param $payload i32) (param $length i32) (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (global.set $top (i32.const 4096))
      EXPORT
      (i32.const 1024))
    (func (export "close") CLOSE))

  (core instance $instance (instantiate $module))
  (type $kind-enum (enum "feature" "tracking"))
  (type $encoding-enum (enum "typed" "json-array" "json-lines"))
  (export $event-kind "event-kind" (type $kind-enum))
  (export $encoding "encoding" (type $encoding-enum))
  (type $descriptor-record (record
    (field "name" string) (field "version" string) (field "config-schema" string) (field "kinds" (list $event-kind)) (field "encoding" $encoding)
    (field "max-events" u32) (field "max-bytes" u32)))
  (export $descriptor "descriptor" (type $descriptor-record))
  (type $diagnostic-record (record (field "path" string) (field "message" string)))
  (export $diagnostic "diagnostic" (type $diagnostic-record))
  (type $payload-variant (variant (case "typed" (list $event)) (case "json-array" string) (case "json-lines" string)))
  (export $payload "payload" (type $payload-variant))
  (type $batch-record (record
    (field "id" string) (field "attempt" u32) (field "count" u32) (field "kind" $event-kind) (field "payload" $payload)))
  (export $batch "batch" (type $batch-record))
  (alias core export $instance "memory" (core memory $memory))
  (alias core export $instance "cabi_realloc" (core func $realloc))
  (func $describe (result $descriptor) (canon lift (core func $instance "describe") (memory $memory)))
  (func $configure (param "config-json" string) (result (result (error (list $diagnostic))))
    (canon lift (core func $instance "configure") (memory $memory) (realloc $realloc)))
  (func $is-bulk (result bool) (canon lift (core func $instance "is-bulk")))
  (func $export (param "batch" $batch) (result (result (error $export-error)))
    (canon lift (core func $instance "export") (memory $memory) (realloc $realloc)))
  (func $close (canon lift (core func $instance "close")))
  (instance $exporter
    (export "event-kind" (type $event-kind)) (export "encoding" (type $encoding)) (export "descriptor" (type $descriptor))
    (export "diagnostic" (type $diagnostic)) (export "payload" (type $payload)) (export "batch" (type $batch))
    (export "describe" (func $describe)) (export "configure" (func $configure)) (export "is-bulk" (func $is-bulk))
    (export "export" (func $export)) (export "close" (func $close)))
  (export "flagpost:plugin/managed-exporter@0.1.0" (instance $exporter)))
