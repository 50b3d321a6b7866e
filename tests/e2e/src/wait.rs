//! Deadlines, and waiting for what cannot be watched.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// For what happens at once on an idle machine.
pub const SHORT: Duration = Duration::from_secs(60);
/// For removal and other things that controllers do in their own time.
pub const SETTLE: Duration = Duration::from_secs(120);
/// For a backup or restore, restarts of movers included.
pub const WORK: Duration = Duration::from_secs(300);

const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Looks again and again until `look` finds something; for processes, files and lists.
///
/// # Errors
/// `look`'s own at once; when `limit` passed, what was waited for and what was last seen (`look`'s text).
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<std::result::Result<T, String>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        match look()? {
            Ok(found) => return Ok(found),
            Err(seen) if begun.elapsed() > limit => {
                bail!("waited {} s for {what}; last seen: {seen}", limit.as_secs())
            }
            Err(_) => thread::sleep(LOOK_INTERVAL),
        }
    }
}
