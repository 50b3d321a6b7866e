//! Backup, restore and verify pipelines
