//! Says what is being done and how long it took: a benchmark of many minutes is not silent.

use std::time::Instant;

use restate_tests::Result;

/// Does something, and says so before and after.
pub(super) async fn stage<T>(name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    println!("── {name}");
    let start = Instant::now();
    let ended = work.await;
    let outcome = if ended.is_ok() { "done" } else { "failed" };
    println!("   {name}: {outcome}, {:.1} s", start.elapsed().as_secs_f64());
    ended
}
