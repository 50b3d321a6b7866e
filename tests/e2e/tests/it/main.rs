//! The scenarios, a module per topic.

mod road;
