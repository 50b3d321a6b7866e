//! House rules that neither rustfmt nor clippy checks: length of files and functions, loose ends, dead links, machine paths.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::{proto, workspace};

/// Longest file in lines; generated ones are exempt.
const FILE_LINES_MAX: usize = 800;
/// Longest function in lines, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Checks the whole checkout.
///
/// # Errors
/// With every finding, one a line.
pub fn check() -> Result<()> {
    let mut findings = Vec::new();
    for path in workspace::files(&["rs"])? {
        if proto::is_generated(&path) {
            continue;
        }
        let text = fs::read_to_string(workspace::root().join(&path))?;
        findings.extend(source(&text).into_iter().map(|finding| format!("{}:{finding}", path.display())));
    }
    for path in workspace::files(&["md"])? {
        let text = fs::read_to_string(workspace::root().join(&path))?;
        findings.extend(
            dead_links(&path, &text).into_iter().map(|finding| format!("{}: {finding}", path.display())),
        );
    }
    if !findings.is_empty() {
        bail!("{} findings:\n{}", findings.len(), findings.join("\n"));
    }
    Ok(())
}

/// Findings in one Rust file, as `line: what`.
fn source(text: &str) -> Vec<String> {
    // Spelled in two pieces, or this file would find itself.
    let loose_ends = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ign", "ore")];
    let lines: Vec<&str> = text.lines().collect();
    let mut findings = Vec::new();
    if lines.len() > FILE_LINES_MAX {
        findings.push(format!("1: {} lines, at most {FILE_LINES_MAX}", lines.len()));
    }
    for (index, line) in lines.iter().enumerate() {
        if let Some(word) = loose_ends.iter().find(|word| line.contains(**word)) {
            findings.push(format!("{}: {word}", index + 1));
        }
        if let Some(length) = function_length(&lines[index..])
            && length > FUNCTION_LINES_MAX
        {
            findings.push(format!("{}: function of {length} lines, at most {FUNCTION_LINES_MAX}", index + 1));
        }
    }
    findings
}

/// Length of the function that begins on the first of `lines`, if one does. rustfmt puts the closing brace of a function under the first
/// letter of its signature, so indentation tells where it ends.
fn function_length(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?;
    let code = first.trim_start();
    let indent = first.len() - code.len();
    let mut words = code.split_whitespace();
    let is_function = words
        .by_ref()
        .take_while(|word| !word.starts_with('(') || word.starts_with("(crate)"))
        .any(|word| word == "fn");
    if !is_function || code.starts_with("//") || code.ends_with(';') || code.ends_with('}') {
        return None;
    }
    let closing = format!("{}}}", " ".repeat(indent));
    lines.iter().position(|line| *line == closing).map(|last| last + 1)
}

/// Relative links of a Markdown file that lead nowhere.
fn dead_links(path: &Path, text: &str) -> Vec<String> {
    let folder = workspace::root().join(path.parent().unwrap_or(Path::new("")));
    text.match_indices("](")
        .filter_map(|(start, _)| {
            let target = text[start + 2..].split(')').next()?.split('#').next()?;
            let is_relative = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            (is_relative && !folder.join(target).exists())
                .then(|| format!("link to {target}, which does not exist"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_and_a_loose_end_are_found() {
        let body = "    let x = 1;\n".repeat(69);
        assert_eq!(
            source(&format!("pub(crate) fn long() {{\n{body}}}\n")),
            ["1: function of 71 lines, at most 70"]
        );
        assert!(source(&format!("fn short() {{\n{}}}\n", "    let x = 1;\n".repeat(68))).is_empty());
        assert_eq!(source(concat!("// TO", "DO later\n")).len(), 1);
        assert_eq!(source(&"\n".repeat(801)).len(), 1);
    }

    #[test]
    fn a_dead_link_is_found() {
        let text = "[a](README-that-is-not-there.md) [b](https://example.org) [c](#here)";
        assert_eq!(dead_links(Path::new("README.md"), text).len(), 1);
    }
}
