//! API keys: who may come in, and whose events they send. Upstream's rules (its `config/api_keys.go` and `service/flagset_manager.go`).
//!
//! A presented key is digested with a salt of this process and looked up by that digest, so how long a look-up takes says nothing about
//! any configured key: without the salt nobody can aim for a digest, and the digest that is found is compared in constant time. The keys
//! themselves are not kept. All of it is one snapshot behind one pointer: a reload swaps it, and a request sees the old keys or the new ones,
//! never a mixture.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use flagpost_exporter::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::{AuthorizedKeys, FlagSet};
use crate::intake::{Intake, Intakes};

type KeyDigest = [u8; 32];

/// The keys of now; a reload replaces them.
pub(crate) struct Keys(ArcSwap<Access>);

impl Keys {
    pub(crate) fn new(access: Access) -> Keys {
        Keys(ArcSwap::from_pointee(access))
    }

    /// The snapshot for one request.
    pub(crate) fn now(&self) -> Guard<Arc<Access>> {
        self.0.load()
    }

    /// Takes these keys from the next request on.
    pub(crate) fn replace(&self, access: Access) {
        self.0.store(Arc::new(access));
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.now()).finish()
    }
}

/// What one key opens, beside the collector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grant {
    /// The admin routes.
    pub(crate) admin: bool,
    tenant: Tenant,
}

/// Whose events a key sends, where keys decide that.
#[derive(Clone, Debug, Default)]
enum Tenant {
    /// Nobody's: an evaluation or admin key.
    #[default]
    None,
    /// Several flag sets claim the key, so it is none's: as upstream does after a reload.
    Several,
    /// A flag set that has no intake.
    Gone(Arc<str>),
    One(Arc<Intake>),
}

/// Why a key leads to no flag set; upstream's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LookupError {
    #[error("no API key provided")]
    NoKey,
    #[error("flagset not found for API key")]
    NotFound,
    #[error("impossible to find the flagset with the name {0}")]
    Gone(Arc<str>),
    #[error("no configured flagset")]
    NoDefault,
}

/// One state of all keys.
pub(crate) struct Access {
    salt: [u8; 32],
    /// By the first bytes of a key's digest.
    grants: HashMap<u64, Vec<(KeyDigest, Grant)>>,
    /// Whether there is any key that is not an admin's: then nobody comes in without one.
    required: bool,
    /// Where everything goes when no key decides.
    route: Route,
}

enum Route {
    /// All events belong to one flag set.
    All(Option<Arc<Intake>>),
    /// A request's key decides.
    ByKey,
}

impl Access {
    /// The keys of a configuration. `salt`: random bytes that nobody else knows.
    pub(crate) fn new(keys: &AuthorizedKeys, flag_sets: &[FlagSet], intakes: &Intakes, salt: [u8; 32]) -> Access {
        let route = if flag_sets.is_empty() { Route::All(intakes.default_one()) } else { Route::ByKey };
        let required = !keys.evaluation.is_empty() || flag_sets.iter().any(|set| !set.api_keys.is_empty());
        let mut access = Access { salt, grants: HashMap::new(), required, route };
        for key in &keys.evaluation {
            access.grant(key);
        }
        for set in flag_sets {
            let tenant = match intakes.get(&set.name) {
                Some(intake) => Tenant::One(intake),
                None => Tenant::Gone(set.name.as_str().into()),
            };
            for key in &set.api_keys {
                let Some(grant) = access.grant(key) else { continue };
                grant.tenant = match &grant.tenant {
                    Tenant::None => tenant.clone(),
                    other if other.is_same(&tenant) => continue,
                    _ => Tenant::Several,
                };
            }
        }
        for key in &keys.admin {
            if let Some(grant) = access.grant(key) {
                grant.admin = true;
            }
        }
        access
    }

    /// The entry of a key. An empty key opens nothing: no request can present it.
    fn grant(&mut self, key: &Secret) -> Option<&mut Grant> {
        if key.reveal().is_empty() {
            return None;
        }
        let digest = self.digest(key.reveal().as_bytes());
        let bucket = self.grants.entry(bucket(&digest)).or_default();
        let index = bucket.iter().position(|(known, _)| *known == digest).unwrap_or_else(|| {
            bucket.push((digest, Grant::default()));
            bucket.len() - 1
        });
        Some(&mut bucket[index].1)
    }

    fn digest(&self, key: &[u8]) -> KeyDigest {
        Sha256::new().chain_update(self.salt).chain_update(key).finalize().into()
    }

    /// Whether user routes need a key.
    pub(crate) fn is_required(&self) -> bool {
        self.required
    }

    /// What a key opens; `None`: it is nobody's.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&Grant> {
        let digest = self.digest(key);
        let bucket = self.grants.get(&bucket(&digest))?;
        bucket.iter().find(|(known, _)| bool::from(known.ct_eq(&digest))).map(|(_, grant)| grant)
    }

    /// Whose events a request with this key sends.
    pub(crate) fn intake(&self, key: Option<&[u8]>) -> Result<&Arc<Intake>, LookupError> {
        match &self.route {
            Route::All(intake) => intake.as_ref().ok_or(LookupError::NoDefault),
            Route::ByKey => {
                let key = key.filter(|key| !key.is_empty()).ok_or(LookupError::NoKey)?;
                match self.find(key).map(|grant| &grant.tenant) {
                    Some(Tenant::One(intake)) => Ok(intake),
                    Some(Tenant::Gone(name)) => Err(LookupError::Gone(name.clone())),
                    Some(Tenant::None | Tenant::Several) | None => Err(LookupError::NotFound),
                }
            }
        }
    }
}

impl Tenant {
    fn is_same(&self, other: &Tenant) -> bool {
        match (self, other) {
            (Tenant::One(one), Tenant::One(other)) => Arc::ptr_eq(one, other),
            (Tenant::Gone(one), Tenant::Gone(other)) => one == other,
            _ => false,
        }
    }
}

fn bucket(digest: &KeyDigest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_key = matches!(self.route, Route::ByKey);
        f.debug_struct("Access").field("keys", &self.grants.len()).field("by_key", &by_key).finish_non_exhaustive()
    }
}
