//! What stores hold, for whoever reads `/metrics` (M4).

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::MetricType, registry::Registry,
};

use super::Feed;

/// The stores of one API, by the plural of their kinds.
#[derive(Debug)]
pub(crate) struct Levels(pub(crate) Vec<(&'static str, Arc<Feed>)>);

/// A number of a store, under a name.
struct Level {
    name: &'static str,
    help: &'static str,
    of: fn(&Feed) -> u64,
}

const LEVELS: [Level; 3] = [
    Level {
        name: "apiserver_store_objects",
        help: "Objects that a kind shows",
        of: |feed| feed.state().map_or(0, |state| state.items.len() as u64),
    },
    Level {
        name: "apiserver_store_watchers",
        help: "Watches of a kind that are open",
        of: |feed| feed.watchers() as u64,
    },
    Level {
        name: "apiserver_store_changes_dropped",
        help: "Changes that left the ring: whoever had not read them lists again",
        of: |feed| feed.log().dropped(),
    },
];

impl Levels {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }
}

impl Collector for Levels {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for Level { name, help, of } in LEVELS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (resource, feed) in &self.0 {
                family.encode_family(&[("resource", *resource)])?.encode_gauge(&of(feed))?;
            }
        }
        Ok(())
    }
}
