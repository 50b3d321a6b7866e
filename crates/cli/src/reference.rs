//! The command line's reference as Markdown, from the same definitions that parse it.

use std::fmt::Write;

use clap::{Arg, Command};

/// The whole reference page, hidden entry points included.
pub fn markdown() -> String {
    let mut command = crate::command().disable_help_subcommand(true);
    command.build();
    let mut page = String::from(
        "# Command line reference\n\nGenerated from the program by `cargo xtask generate`; change `crates/cli/src/arguments.rs` or `crates/kubectl/src/arguments.rs` instead.\n\n",
    );
    section(&mut page, &command, "longshore", true);
    verbs(&mut page, &command, "longshore");
    #[cfg(feature = "kubectl")]
    plugin(&mut page);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// The part of kubectl's plugin.
#[cfg(feature = "kubectl")]
fn plugin(page: &mut String) {
    const NAME: &str = "kubectl longshore";
    let mut command = longshore_kubectl::command().disable_help_subcommand(true);
    command.build();
    section(page, &command, NAME, true);
    verbs(page, &command, NAME);
}

fn verbs(page: &mut String, command: &Command, name: &str) {
    for verb in command.get_subcommands() {
        let name = format!("{name} {}", verb.get_name());
        section(page, verb, &name, false);
        verbs(page, verb, &name);
    }
}

fn section(page: &mut String, command: &Command, name: &str, is_root: bool) {
    let _infallible = writeln!(page, "## `{name}`\n");
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let _infallible = writeln!(page, "{about}.\n");
        *page = page.replace("..\n", ".\n");
    }
    let shown = |argument: &&Arg| {
        (is_root || !argument.is_global_set()) && !matches!(argument.get_id().as_str(), "help" | "version")
    };
    let arguments: Vec<&Arg> = command.get_arguments().filter(shown).collect();
    if !arguments.is_empty() {
        page.push_str("| argument | meaning | default | variable |\n|---|---|---|---|\n");
        for argument in arguments {
            row(page, argument);
        }
        page.push('\n');
    }
    if let Some(help) = command.get_after_help() {
        let _infallible = writeln!(page, "```text\n{help}\n```\n");
    }
}

fn row(page: &mut String, argument: &Arg) {
    let value = argument
        .get_value_names()
        .filter(|_| argument.get_action().takes_values())
        .and_then(|names| names.first())
        .map(ToString::to_string);
    let name = match (argument.get_long(), &value) {
        (Some(long), Some(value)) => format!("`--{long} {value}`"),
        (Some(long), None) => format!("`--{long}`"),
        (None, value) => format!("`{}`", value.as_deref().unwrap_or_default()),
    };
    let name = match argument.get_short() {
        Some(short) => format!("`-{short}`, {name}"),
        None => name,
    };
    let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|choice| format!("`{}`", choice.get_name()))
        .collect();
    if !choices.is_empty() {
        let _infallible = write!(meaning, ": {}", choices.join(", "));
    }
    let default = argument.get_default_values().first().map(|value| format!("`{}`", value.to_string_lossy()));
    let variable = argument.get_env().map(|name| format!("`{}`", name.to_string_lossy()));
    let _infallible = writeln!(
        page,
        "| {name} | {meaning} | {} | {} |",
        default.filter(|_| argument.get_action().takes_values()).unwrap_or_default(),
        variable.unwrap_or_default()
    );
}
