//! Names that Restate or we give: strings that must not be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<String>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

name! {
    /// Restate's id of a deployment (`dp_…`): given by Restate, compared to the letter.
    DeploymentId
}
name! {
    /// Restate's id of an invocation (`inv_…`): case-sensitive, given by Restate.
    InvocationId
}
name! {
    /// A service's name as its SDK announces it; case-sensitive.
    ServiceName
}
name! {
    /// Which Restate: the normalised URL of its admin API. Two manifests that mean the same Restate have equal
    /// keys, so that one poller serves both.
    EndpointKey
}
