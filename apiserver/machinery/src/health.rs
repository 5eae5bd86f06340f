//! Health checks (T7): what each part of the process says about itself, and the paths where it is read.
//!
//! Invariant: a check reads memory only, so an answer never waits for anybody; liveness depends on nothing outside of
//! the process, and readiness never on what the virtual kinds are computed from (P6, D4).

mod report;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

pub use report::{Report, Selection};

/// Where checks are read; so are those below.
pub(crate) const PATHS: [&str; 3] = ["/livez", "/readyz", "/healthz"];

/// Whether checks are read at this path: no limit holds there, and nothing is recorded.
pub(crate) fn is_health(path: &str) -> bool {
    let below =
        |root: &&str| path.strip_prefix(*root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    PATHS.iter().any(below)
}

/// Which paths ask a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `/livez`, `/healthz` and `/readyz`.
    Alive,
    /// `/readyz` alone.
    Ready,
}

/// The checks of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<RwLock<Vec<Check>>>);

/// One named check, held by the part of the process that it is about.
#[derive(Clone)]
pub struct Gate(Arc<RwLock<Option<String>>>);

#[derive(Clone)]
struct Check {
    name: &'static str,
    scope: Scope,
    test: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Health {
    /// Checks with `ping`, which always passes.
    pub fn new() -> Self {
        let health = Self::default();
        health.check("ping", Scope::Alive, || Ok(()));
        health
    }

    /// Adds a check. The error is logged; readers of the paths see only the name.
    pub fn check(
        &self,
        name: &'static str,
        scope: Scope,
        test: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        let check = Check { name, scope, test: Arc::new(test) };
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(check);
    }

    /// Adds a readiness check that fails with `reason` until it is opened.
    pub fn gate(&self, name: &'static str, reason: impl Into<String>) -> Gate {
        let gate = Gate(Arc::new(RwLock::new(Some(reason.into()))));
        let held = gate.clone();
        self.check(name, Scope::Ready, move || held.verdict());
        gate
    }

    /// Runs the checks of a scope.
    pub fn report(&self, scope: Scope, selection: &Selection) -> Report {
        let checks = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = checks.into_iter().filter(|check| scope == Scope::Ready || check.scope == Scope::Alive);
        Report::new(asked.map(|check| (check.name, check.test)), selection)
    }

    /// Runs one check. `None` if there is none of that name.
    pub fn single(&self, scope: Scope, name: &str) -> Option<Result<(), String>> {
        let checks = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let found = checks.into_iter().find(|check| check.name == name);
        found.filter(|check| scope == Scope::Ready || check.scope == Scope::Alive).map(|check| (check.test)())
    }

    /// Whether `/readyz` answers `ok`, and if not, why.
    pub fn readiness(&self) -> Result<(), Vec<String>> {
        let reasons = self.report(Scope::Ready, &Selection::default()).reasons();
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }
}

impl Gate {
    /// The check passes from now on.
    pub fn open(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The check fails from now on.
    pub fn close(&self, reason: impl Into<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(reason.into());
    }

    /// Whether the check passes, and if not, why.
    pub fn verdict(&self) -> Result<(), String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Gate").field(&self.verdict()).finish()
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Check")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t7_liveness_does_not_see_readiness() {
        let health = Health::new();
        let gate = health.gate("authentication", "no configuration");
        let all = Selection::default();
        assert!(health.report(Scope::Alive, &all).passed());
        assert!(!health.report(Scope::Ready, &all).passed());
        assert_eq!(health.readiness(), Err(vec!["authentication: no configuration".to_owned()]));
        gate.open();
        assert_eq!(health.readiness(), Ok(()));
        gate.close("gone");
        assert_eq!(health.single(Scope::Ready, "authentication"), Some(Err("gone".to_owned())));
        assert_eq!(health.single(Scope::Alive, "authentication"), None, "not a check of that path");
    }
}
