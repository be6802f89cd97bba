//! One engine for all plugins, and the thread that makes its time pass.

use std::sync::{Arc, Weak};
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy};

/// How often running guest code is interrupted to yield, and to check its CPU time.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Elements of one table. Interpreters' tables have up to 10,000 (.NET in debug mode).
pub(crate) const TABLE_ELEMENTS: usize = 100_000;

/// Instances alive at the same time, over all plugins. Address space is reserved for this many: 4 GiB for each memory, nothing committed.
const INSTANCES: u32 = 256;

/// What compiled code depends on. The compiling child and the relay must agree on it, so it is here once.
fn code_config() -> Config {
    let mut config = Config::new();
    config
        // Winch has had several soundness bugs; Cranelift only.
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        // Exporters are synchronous components. Guests with async builtins (jco's QuickJS without `--backend-qjs-disable-async`) need
        // `component-model-async`; it costs a microsecond per call, and comes with an interface that is async itself.
        .concurrency_support(false)
        // What no guest toolchain emits is off: less to trust.
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(8));
    config
}

/// An engine that compiles and cannot run anything large: reserves no pool, so that the child may live under a memory limit.
pub(crate) fn compiler() -> wasmtime::Result<Engine> {
    Engine::new(&code_config())
}

/// The engine that runs guests. Instances come from a pool (a fresh one costs 20 us); where so much address space cannot be reserved
/// (`ulimit -v`), they are allocated one by one.
pub(crate) fn runner() -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(8 * INSTANCES)
        .total_memories(2 * INSTANCES)
        .total_tables(4 * INSTANCES)
        .total_stacks(INSTANCES)
        .max_tables_per_module(4)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(1 << 20)
        .pagemap_scan(Enabled::Auto);
    let mut config = code_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|why| {
        tracing::warn!(error = format!("{why:#}"), "no pool for plugin instances: each is allocated on demand, which is slower");
        Engine::new(&code_config())
    })
}

/// Starts the thread that advances the epoch. It ends when the engine is gone.
///
/// The ticker always runs and every store has a deadline before anything runs in it: a ticker that starts with the first limited plugin
/// leaves gaps in which nothing is interrupted.
pub(crate) fn start_ticker(engine: &Engine) -> std::io::Result<Arc<TickerGuard>> {
    let guard = Arc::new(TickerGuard);
    let alive: Weak<TickerGuard> = Arc::downgrade(&guard);
    let engine = engine.weak();
    std::thread::Builder::new().name("plugin-ticker".to_owned()).spawn(move || {
        while alive.strong_count() > 0 {
            std::thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    })?;
    Ok(guard)
}

/// The ticker runs while this lives.
#[derive(Debug)]
pub(crate) struct TickerGuard;
