//! What commands print on stdout.

use std::io::Write;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::arguments::OutputForm;
use crate::failure::{DOCUMENT_VERSION, Failure};

/// A document of our own: its version, its kind, and its own fields beside them.
#[derive(Serialize)]
struct Document<'a, T> {
    version: u32,
    kind: &'static str,
    #[serde(flatten)]
    body: &'a T,
}

/// Writes text to stdout. A closed pipe is a quiet end, as in `| head`.
pub fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Terminal { action: "print the result", source: error })
        }
        _ => Ok(()),
    }
}

/// Prints a document of our own as JSON or YAML.
pub fn document<T: Serialize>(form: OutputForm, kind: &'static str, body: &T) -> Result<(), Failure> {
    structured(form, &Document { version: DOCUMENT_VERSION, kind, body })
}

/// Prints objects of the cluster as kubectl does: one as it is, several as a list.
pub fn objects(form: OutputForm, mut objects: Vec<Value>) -> Result<(), Failure> {
    let only = if objects.len() == 1 { objects.pop() } else { None };
    let whole =
        only.unwrap_or_else(|| serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}));
    structured(form, &whole)
}

fn structured<T: Serialize>(form: OutputForm, value: &T) -> Result<(), Failure> {
    let internal = |error: String| Failure::Terminal {
        action: "write the document",
        source: std::io::Error::other(error),
    };
    let text = if form == OutputForm::Yaml {
        serde_saphyr::to_string(value).map_err(|error| internal(error.to_string()))?
    } else {
        serde_json::to_string_pretty(value).map_err(|error| internal(error.to_string()))? + "\n"
    };
    write(&text)
}

/// Columns padded to the widest cell, three spaces apart as kubectl does it.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(line.join("   ").trim_end());
        text.push('\n');
    }
    text
}

/// A count of bytes for people, in binary units.
pub fn bytes(count: i64) -> String {
    indicatif::BinaryBytes(count.try_into().unwrap_or_default()).to_string()
}

/// An age as kubectl shows it: `12s`, `5m`, `3h`, `4d`.
pub fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(since) = since else { return "<unknown>".to_owned() };
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_nothing_trails() {
        let rows = [vec!["data".to_owned(), "-".to_owned()], vec!["a".to_owned(), String::new()]];
        assert_eq!(table(&["NAME", "PHASE"], &rows), "NAME   PHASE\ndata   -\na\n");
    }

    #[test]
    fn ages_are_kubectls() {
        let after = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_800, "2d"),
        ] {
            assert_eq!(age(Some(Timestamp::UNIX_EPOCH), after(seconds)), text);
        }
        assert_eq!(age(None, after(0)), "<unknown>");
    }

    #[test]
    fn bytes_have_binary_units_and_are_never_negative() {
        assert_eq!((bytes(1 << 30).as_str(), bytes(-1).as_str()), ("1.00 GiB", "0 B"));
    }
}
