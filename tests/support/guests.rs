//! Components written by hand: small, exact, and able to misbehave in ways that no language's toolchain allows.

/// What a component does when events are handed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// Says that they are safe.
    Takes,
    /// Traps.
    Traps,
    /// Never returns.
    Loops,
    /// Takes memory until it gets no more, then traps as allocators do.
    Bombs,
    /// Makes a table of a million elements, then traps.
    TableBombs,
    /// Calls itself for ever.
    Recurses,
    /// Refuses all of them.
    Rejects,
    /// Exports the interface in a version that does not exist.
    OtherVersion,
    /// Exports a function of its own.
    OtherWorld,
    /// Is a core module and no component.
    Module,
}

/// The bytes of a component. `bulk` is what `is-bulk` answers.
pub fn guest(guest: Guest, bulk: bool) -> Vec<u8> {
    let text = match guest {
        Guest::Takes => component("0.1.0", bulk, "(i32.store8 (i32.const 16) (i32.const 0)) (i32.const 16)"),
        Guest::Traps => component("0.1.0", bulk, "unreachable"),
        Guest::Loops => component("0.1.0", bulk, "(loop $for_ever (br $for_ever)) unreachable"),
        Guest::Bombs => {
            component("0.1.0", bulk, "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable")
        }
        Guest::TableBombs => component("0.1.0", bulk, "(drop (table.grow (ref.null func) (i32.const 1000000))) unreachable"),
        Guest::Recurses => component("0.1.0", bulk, "(call $recurse (i32.const 1))"),
        Guest::Rejects => component("0.1.0", bulk, REJECTED),
        Guest::OtherVersion => component("9.9.0", bulk, "(i32.store8 (i32.const 16) (i32.const 0)) (i32.const 16)"),
        Guest::OtherWorld => OTHER_WORLD.to_owned(),
        Guest::Module => "(module)".to_owned(),
    };
    wat::parse_str(text).expect("the tests' own text is well formed")
}

/// result: error (1) at 16; export-error: rejected (1) at 20; its text at 24 and 28.
const REJECTED: &str = r#"
    (i32.store8 (i32.const 16) (i32.const 1))
    (i32.store8 (i32.const 20) (i32.const 1))
    (i32.store (i32.const 24) (i32.const 64))
    (i32.store (i32.const 28) (i32.const 10))
    (i32.const 16)"#;

const OTHER_WORLD: &str = r#"
(component
  (core module $m (func (export "run")))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))"#;

/// The types of `flagpost:plugin/events`, each after the names it uses.
const TYPES: &[(&str, &str)] = &[
    (
        "feature-event",
        r#"(record (field "kind" string) (field "context-kind" string) (field "user-key" string) (field "creation-date" s64)
           (field "key" string) (field "variation" string) (field "value-json" string) (field "default" bool)
           (field "version" string) (field "source" string) (field "metadata-json" (option string)))"#,
    ),
    (
        "tracking-event",
        r#"(record (field "kind" string) (field "context-kind" string) (field "user-key" string) (field "creation-date" s64)
           (field "key" string) (field "evaluation-context-json" string) (field "tracking-event-details-json" string))"#,
    ),
    ("event", r#"(variant (case "feature" $feature-event) (case "tracking" $tracking-event))"#),
    ("retry-later", r#"(record (field "reason" string) (field "after-ms" (option u32)))"#),
    ("rejected-event", r#"(record (field "index" u32) (field "reason" string))"#),
    ("partial-failure", r#"(record (field "retry" (list u32)) (field "rejected" (list $rejected-event)) (field "after-ms" (option u32)))"#),
    (
        "export-error",
        r#"(variant (case "retryable" $retry-later) (case "rejected" string) (case "partial" $partial-failure)
           (case "misconfigured" string))"#,
    ),
];

/// A component that exports `flagpost:plugin/exporter` in that version; `body` is what its `export` does.
fn component(version: &str, bulk: bool, body: &str) -> String {
    let bulk = u8::from(bulk);
    let declared: String = TYPES
        .iter()
        .map(|(name, shape)| format!("(type $shape-{name} {shape})\n(export \"{name}\" (type ${name} (eq $shape-{name})))\n"))
        .collect();
    let aliased: String = TYPES.iter().map(|(name, _)| format!("(alias export $events \"{name}\" (type ${name}))\n")).collect();
    let asked: String = TYPES
        .iter()
        .map(|(name, shape)| format!("(type $shape-{name} {shape})\n(import \"import-{name}\" (type ${name} (eq $shape-{name})))\n"))
        .collect();
    let given: String = TYPES.iter().map(|(name, _)| format!("(with \"import-{name}\" (type ${name}))\n")).collect();
    // What the outside sees of a function names exported types only.
    let shown: String = TYPES.iter().map(|(name, _)| format!("(export $out-{name} \"{name}\" (type ${name}))\n")).collect();
    format!(
        r#"(component
  (type $events-type (instance {declared}))
  (import "flagpost:plugin/events@0.1.0" (instance $events (type $events-type)))
  {aliased}
  (core module $m
    (memory (export "memory") 1)
    (table 1 funcref)
    (func $recurse (param i32) (result i32) (i32.add (i32.const 1) (call $recurse (local.get 0))))
    (data (i32.const 64) "not today.")
    (global $end (mut i32) (i32.const 1024))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $end) (i32.const 7)) (i32.const -8)))
      (global.set $end (i32.add (local.get $at) (local.get $size)))
      (block $enough
        (loop $more
          (br_if $enough (i32.le_u (global.get $end) (i32.mul (memory.size) (i32.const 65536))))
          (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))
          unreachable))
      (local.get $at))
    (func (export "export") (param i32 i32) (result i32) {body})
    (func (export "done") (param i32) (global.set $end (i32.const 1024)))
    (func (export "is-bulk") (result i32) (i32.const {bulk})))
  (core instance $i (instantiate $m))
  (type $export-type (func (param "events" (list $event)) (result (result (error $export-error)))))
  (func $export (type $export-type)
    (canon lift (core func $i "export") (memory (core memory $i "memory")) (realloc (core func $i "realloc")) (post-return (core func $i "done"))))
  (func $is-bulk (result bool) (canon lift (core func $i "is-bulk")))
  (component $shim
    {asked}
    (import "import-export" (func $export (param "events" (list $event)) (result (result (error $export-error)))))
    (import "import-is-bulk" (func $is-bulk (result bool)))
    {shown}
    (export "export" (func $export) (func (param "events" (list $out-event)) (result (result (error $out-export-error)))))
    (export "is-bulk" (func $is-bulk)))
  (instance $exporter (instantiate $shim {given} (with "import-export" (func $export)) (with "import-is-bulk" (func $is-bulk))))
  (export "flagpost:plugin/exporter@{version}" (instance $exporter)))"#
    )
}
