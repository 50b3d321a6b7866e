//! The scenarios, a module per topic.

mod bad_credentials;
mod bad_input;
mod bad_restores;
mod bucket;
mod copies;
mod road;
mod secrecy;
