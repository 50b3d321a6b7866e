//! The scenarios, a module per topic.

mod bad_credentials;
mod bad_input;
mod bad_luck;
mod bad_restores;
mod bucket;
mod copies;
mod database;
mod forget;
mod independence;
mod kubectl;
#[cfg(feature = "long")]
mod load;
#[cfg(feature = "long")]
mod many;
mod oadp_options;
mod oadp_replay;
mod operator_killed;
mod overhead;
mod repository_on_volume;
mod road;
mod secrecy;
#[cfg(feature = "long")]
mod storm;
mod velero;
