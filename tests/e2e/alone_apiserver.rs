//! Other API servers beside ours: the Kubernetes project's sample, with which ours is compared request by request, and
//! the machinery's own example. For a moment after its APIService is made a group does not answer, which neighbours
//! would see: so these tests run alone.

mod example;
mod golden;
