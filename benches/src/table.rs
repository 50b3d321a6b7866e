//! The tables of `benches/README.md`.

use crate::{measure::Cost, scene::Line};

/// Prints what everything cost, as Markdown.
pub fn print(engines: &[String], lines: &[Line]) {
    let cost = |get: fn(&Cost) -> String| move |line: &Line| line.costs.iter().map(get).collect::<Vec<_>>();
    rows("CPU s", engines, lines, cost(|cost| format!("{:.1}", cost.cpu_seconds)));
    rows("wall s", engines, lines, cost(|cost| format!("{:.1}", cost.wall_seconds)));
    rows("RSS MiB", engines, lines, cost(|cost| (cost.resident_bytes_max >> 20).to_string()));
    rows("stored MiB, after", engines, lines, |line| {
        line.stored_bytes.iter().map(|bytes| (bytes >> 20).to_string()).collect()
    });
}

fn rows(title: &str, engines: &[String], lines: &[Line], cells: impl Fn(&Line) -> Vec<String>) {
    println!("\n| {title} | {} |", engines.join(" | "));
    println!("|---|{}", "--:|".repeat(engines.len()));
    for line in lines {
        println!("| {} | {} |", line.title, cells(line).join(" | "));
    }
}
