//! Certificates of the aggregation layer that change under a steady stream of requests: none of them fails.

mod front_proxy;
mod serving;
