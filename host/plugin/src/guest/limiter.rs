//! Memory and tables: refuses growth over the limit, and remembers that it did.
//!
//! A guest sees a refused growth as `memory.grow` returning -1, and most then abort: the trap says `unreachable`. What it wanted is kept
//! here for the error that the operator reads.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::state::Shared;
use crate::engine::TABLE_ELEMENTS;

/// The first growth that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Bytes wanted of linear memory.
    Memory(u64),
    /// Elements wanted of a table.
    Table(usize),
}

#[derive(Debug)]
pub(super) struct Limiter {
    shared: Arc<Shared>,
    /// Linear memory of the whole instance, in bytes: a component may have several.
    memory: u64,
    refused: Option<Refused>,
}

impl Limiter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Limiter { shared, memory: 0, refused: None }
    }

    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Linear memory in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let wanted = self.memory + (desired.saturating_sub(current)) as u64;
        if wanted > self.shared.spec.limits.memory {
            self.shared.counters.memory_refused.one();
            self.refused.get_or_insert(Refused::Memory(wanted));
            return Ok(false);
        }
        self.memory = wanted;
        self.shared.memory_peak.raise(wanted);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            self.shared.counters.tables_refused.one();
            self.refused.get_or_insert(Refused::Table(desired));
            return Ok(false);
        }
        Ok(true)
    }

    // Per store, and a store holds one component: its modules, their adapters, and shims between them.
    fn instances(&self) -> usize {
        128
    }

    fn memories(&self) -> usize {
        32
    }

    fn tables(&self) -> usize {
        64
    }
}
