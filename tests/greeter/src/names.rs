//! The names of the services of one endpoint, made from one word.

use restate_sdk::discovery::ServiceName;
use restate_sdk::endpoint::{Builder, Endpoint};
use restate_sdk::service::macro_support::{ServiceBoxFuture, service_definition};
use restate_sdk::service::{Discoverable, Service, ServiceDefinition};

use crate::services::{Counter, Greeter, Job, Versioned};

/// An endpoint that serves `NAME`, `NAME-counter` and `NAME-job`. `None` where Restate would not take the name.
pub(crate) fn endpoint(name: &str, version: &str) -> Option<Endpoint> {
    let service = Versioned { version: version.to_owned() };
    let builder = Builder::new()
        .bind(named(Greeter::serve(service.clone()), name)?)
        .bind(named(Counter::serve(service.clone()), &format!("{name}-counter"))?)
        .bind(named(Job::serve(service), &format!("{name}-job"))?);
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
