//! What a bucket of S3 offers beside objects: versions, and locks that not even its owner opens before their time.
//!
//! `object_store` knows neither, so this goes through AWS's own client. Everything here is for those who look after a
//! repository; movers and restores do without, but for one thing: [`ShortLivedStore`] asks whether the bucket locks what is
//! put into it.

mod client;
mod errors;
mod locks;
mod short_lived;
mod versions;

pub use client::Bucket;
pub use locks::{DefaultRetention, LockMode, ObjectLock, Protection, Retention, Versioning};
pub use short_lived::ShortLivedStore;
pub use versions::Version;
