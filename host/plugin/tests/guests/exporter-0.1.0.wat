;; The smallest guest of `flagpost:plugin/exporter@0.1.0`, written out by hand and frozen with the interface's release: it proves that a plugin built against
;; 0.1.0 still runs. Never edit the types below. Tests replace BULK, EXPORT and DATA.
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
    (table $table (export "table") 1 funcref)
    (global $calls (mut i32) (i32.const 0))
    (global $top (mut i32) (i32.const 4096))
    ;; Data below 1024 is the test's; the result is written at 1024.
    DATA
    ;; A bump allocator; each call of `export` starts over.
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
    (func (export "is-bulk") (result i32) BULK)
    (func $recurse (param i32) (result i32) (i32.add (i32.const 1) (call $recurse (local.get 0))))
    (func (export "export") (param $events i32) (param $count i32) (result i32)
      (local $i i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (global.set $top (i32.const 4096))
      EXPORT
      (i32.const 1024)))

  (core instance $instance (instantiate $module))
  (func $export (param "events" (list $event)) (result (result (error $export-error)))
    (canon lift (core func $instance "export") (memory (core memory $instance "memory")) (realloc (core func $instance "cabi_realloc"))))
  (func $is-bulk (result bool) (canon lift (core func $instance "is-bulk")))
  (instance $exporter (export "export" (func $export)) (export "is-bulk" (func $is-bulk)))
  (export "flagpost:plugin/exporter@0.1.0" (instance $exporter)))
