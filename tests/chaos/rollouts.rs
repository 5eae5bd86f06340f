//! The developers: they go on rolling out, and roll back now and then, whatever else happens.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use crate::world::World;

/// Between two tries of the same rollout.
const PAUSE: Duration = Duration::from_millis(500);
/// How far back somebody goes.
const REACH: u32 = 3;

/// What was asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Rollouts {
    /// The number of each service's newest version.
    newest: BTreeMap<String, u32>,
    /// The version that each service is to have.
    pub(crate) wanted: BTreeMap<String, String>,
    /// How many new versions there were.
    pub(crate) forward: usize,
    /// How many times an older one was wanted again.
    pub(crate) back: usize,
}

impl Rollouts {
    /// Each service is at its first version.
    pub(crate) fn of(services: &[String]) -> Self {
        let newest = services.iter().map(|service| (service.clone(), 1)).collect();
        let wanted = services.iter().map(|service| (service.clone(), "v1".to_owned())).collect();
        Self { newest, wanted, forward: 0, back: 0 }
    }

    /// Rolls one service after the other until `end`, one each `pause`.
    pub(crate) async fn go_on(&mut self, world: &World, pause: Duration, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let mut next = Instant::now();
        for service in world.services.iter().cycle() {
            next += pause;
            tokio::select! {
                () = sleep_until(next) => {}
                () = &mut end => return,
            }
            let version = self.choose(service);
            while world.roll(service, &version).await.is_err() {
                sleep(PAUSE).await;
            }
            self.wanted.insert(service.clone(), version);
        }
    }

    /// A new version as often as an older one.
    fn choose(&mut self, service: &str) -> String {
        let newest = self.newest.entry(service.to_owned()).or_insert(1);
        let older = newest.saturating_sub(fastrand::u32(1..=REACH)).max(1);
        let older = format!("v{older}");
        if fastrand::bool() && self.wanted.get(service) != Some(&older) {
            self.back += 1;
            return older;
        }
        *newest += 1;
        self.forward += 1;
        format!("v{newest}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_and_come_back() {
        let services = ["walk-0".to_owned()];
        let mut rollouts = Rollouts::of(&services);
        for _ in 0..100 {
            let before = rollouts.wanted["walk-0"].clone();
            let version = rollouts.choose("walk-0");
            assert_ne!(version, before);
            rollouts.wanted.insert("walk-0".to_owned(), version);
        }
        assert_eq!(rollouts.forward + rollouts.back, 100);
        assert!(rollouts.forward > 20 && rollouts.back > 20, "{rollouts:?}");
    }
}
