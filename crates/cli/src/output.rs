//! What commands print on stdout.

use std::io::Write;

use serde::Serialize;

use crate::{Failure, OutputForm};

/// Version of every JSON document this program prints. Fields are only ever added within a version.
pub const DOCUMENT_VERSION: u32 = 1;

/// One JSON document: its version, its kind, and its own fields beside them.
#[derive(Serialize)]
pub struct Document<T> {
    version: u32,
    kind: &'static str,
    #[serde(flatten)]
    body: T,
}

/// Prints `body` as a document, or calls `text` to print it for people. A closed pipe is a quiet end, as in `| head`.
pub fn print<T: Serialize>(
    form: OutputForm,
    kind: &'static str,
    body: &T,
    text: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let printed = match form {
        OutputForm::Json => {
            let document = Document { version: DOCUMENT_VERSION, kind, body };
            serde_json::to_writer(&mut stdout, &document)
                .map_err(std::io::Error::from)
                .and_then(|()| stdout.write_all(b"\n"))
        }
        OutputForm::Text => text(&mut stdout),
    };
    match printed.and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::internal(&anyhow::Error::new(error).context("cannot print the result"))),
    }
}

/// Columns padded to the widest cell; the last column is left as it is.
pub fn table(out: &mut dyn Write, header: &[&str], rows: &[Vec<String>]) -> std::io::Result<()> {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A count of bytes for people, in binary units.
pub fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
