//! Arguments of `longshore key`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `longshore key`
#[derive(Debug, Args)]
pub struct KeyArguments {
    /// What to do
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// Verbs of `longshore key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys, oldest first
    List,
    /// Add a password, a key file or an age recipient; with --replace in one step with removing another key
    Add(AddKeyArguments),
    /// Remove a key. Its owner can still read what is sealed with secrets that he knew, until `longshore key rotate`
    Remove(RemoveKeyArguments),
    /// Seal everything new with new secrets, signed by a new maintenance key; what is there stays as it is
    Rotate,
    /// Add a printable recovery key, and print it: this once and never again
    Recovery(RecoveryKeyArguments),
}

/// `longshore key add`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("key").required(true))]
pub struct AddKeyArguments {
    /// File that holds the new password; a line break at its end is left out
    #[arg(long, value_name = "FILE", group = "key")]
    pub new_password_file: Option<PathBuf>,
    /// Key file to make, readable by its owner only; one that is there already is added as it is
    #[arg(long, value_name = "FILE", group = "key")]
    pub new_key_file: Option<PathBuf>,
    /// Public key of somebody who keeps the private one, as `age-keygen` prints it
    #[arg(long, value_name = "AGE1...", group = "key")]
    pub recipient: Option<String>,
    /// What its owner may do
    #[arg(long, value_enum, default_value_t = RoleArgument::Mover, value_name = "ROLE")]
    pub role: RoleArgument,
    /// A name for it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub label: String,
    /// Key to remove in the same step: the beginning of its id, or `current` for the one in use
    #[arg(long, value_name = "KEY")]
    pub replace: Option<String>,
}

/// `longshore key remove`
#[derive(Debug, Args)]
pub struct RemoveKeyArguments {
    /// The beginning of its id, or `current` for the one in use
    pub key: String,
    /// Rotate in the same step
    #[arg(long)]
    pub rotate: bool,
}

/// `longshore key recovery`
#[derive(Debug, Args)]
pub struct RecoveryKeyArguments {
    /// What its owner may do
    #[arg(long, value_enum, default_value_t = RoleArgument::Maintenance, value_name = "ROLE")]
    pub role: RoleArgument,
    /// A name for it
    #[arg(long, value_name = "TEXT", default_value = "recovery key")]
    pub label: String,
}

/// What a key's owner may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArgument {
    /// Back up and restore.
    Mover,
    /// Also forget, prune and change keys.
    Maintenance,
}
