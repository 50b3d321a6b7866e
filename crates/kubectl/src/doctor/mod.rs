//! Looking for what keeps backups and restores from working.
//!
//! [`gather`] reads the cluster into [`Facts`], plain data; [`findings`] judges them and talks to nobody. What the user may not see is a fact of
//! its own, so that silence never stands for health.

mod facts;
mod finding;
mod gather;
mod installation;
mod rights;
mod runs;
mod snapshots;
#[cfg(test)]
mod tests;

pub use facts::Facts;
pub use finding::{Finding, Severity};
pub use gather::gather;

/// Everything that is wrong, the worst first. Pure.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = installation::judge(facts);
    found.extend(installation::judge_secrets(facts));
    found.extend(snapshots::judge(facts));
    found.extend(rights::judge(facts));
    found.extend(runs::judge(facts));
    found.sort_by_key(|finding| finding.severity);
    found
}
