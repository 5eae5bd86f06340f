//! The names of the services of one endpoint, made from one word.

use restate_sdk::discovery::ServiceName;
use restate_sdk::endpoint::{Builder, Endpoint};
use restate_sdk::service::macro_support::{ServiceBoxFuture, service_definition};
use restate_sdk::service::{Discoverable, Service, ServiceDefinition};

use crate::ledger::Ledger;
use crate::services::{Counter, Greeter, Job, Versioned};
use crate::trail::{Trail, Walker};

/// Which services an endpoint has.
#[derive(Clone, Debug)]
pub(crate) enum Offer {
    /// `NAME`, `NAME-counter` and `NAME-job`.
    All,
    /// `NAME`.
    Greeter,
    /// `NAME`, an object each of whose steps is told to a ledger.
    Trail(Ledger),
}

/// An endpoint that serves them. `None` where Restate would not take the name.
pub(crate) fn endpoint(name: &str, version: &str, offer: &Offer) -> Option<Endpoint> {
    let version = version.to_owned();
    let builder = Builder::new();
    let builder = match offer {
        Offer::Greeter => builder.bind(named(Greeter::serve(Versioned { version }), name)?),
        Offer::All => {
            let service = Versioned { version };
            builder
                .bind(named(Greeter::serve(service.clone()), name)?)
                .bind(named(Counter::serve(service.clone()), &format!("{name}-counter"))?)
                .bind(named(Job::serve(service), &format!("{name}-job"))?)
        }
        Offer::Trail(ledger) => {
            let walker = Walker { version, ledger: ledger.clone() };
            builder.bind(named(Trail::serve(walker), name)?)
        }
    };
    Some(builder.build())
}

/// The SDK takes a service's name from the source text; here it is replaced before the service is bound.
fn named<S>(service: S, name: &str) -> Option<ServiceDefinition>
where
    S: Service<Future = ServiceBoxFuture> + Discoverable + Send + Sync + 'static,
{
    let mut discovery = S::discover();
    discovery.name = ServiceName::try_from(name).ok()?;
    Some(service_definition(service, discovery))
}
