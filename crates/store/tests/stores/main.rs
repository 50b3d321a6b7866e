//! Every store under the same suite, and what makes each of them special.

// Helpers of tests fail by panicking, like tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod azure;
mod bucket;
mod flow;
mod folder;
mod full;
mod google;
mod minio;
mod probe;
mod retry;
mod support;

use longshore_store::memory;
use longshore_testkit::conformance;

#[tokio::test]
async fn memory_keeps_every_promise() {
    conformance::run(memory()).await;
}
