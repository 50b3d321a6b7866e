//! The table at the end of the demo.

use anyhow::{Result, bail};
use indicatif::HumanBytes;

/// One volume's figures.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Name of the volume.
    pub volume: String,
    /// Bytes read from the volume in the first backup.
    pub read: u64,
    /// Bytes that went to the bucket in the first backup.
    pub uploaded_first: u64,
    /// Bytes that went to the bucket in the second backup.
    pub uploaded_second: u64,
    /// Seconds from the first VSB to Completed.
    pub seconds_first: f64,
    /// Seconds from the second VSB to Completed.
    pub seconds_second: f64,
    /// Seconds from VSR to Completed.
    pub seconds_restore: f64,
    /// What a second clone of the VolumeSnapshot held.
    pub fingerprint_origin: String,
    /// What the application's PVC holds after the restore.
    pub fingerprint_restored: String,
}

impl Row {
    /// Whether the restored volume holds exactly what the snapshot held.
    pub fn is_equal(&self) -> bool {
        !self.fingerprint_origin.is_empty() && self.fingerprint_origin == self.fingerprint_restored
    }
}

/// All volumes.
#[derive(Debug, Clone)]
pub struct Report(Vec<Row>);

impl Report {
    /// An empty row for each volume.
    pub fn new<const N: usize>(volumes: [&str; N]) -> Self {
        Self(volumes.map(|volume| Row { volume: volume.to_owned(), ..Row::default() }).into())
    }

    /// The row of a volume, made if it is new.
    pub fn row(&mut self, volume: &str) -> &mut Row {
        let index = self.0.iter().position(|row| row.volume == volume).unwrap_or_else(|| {
            self.0.push(Row { volume: volume.to_owned(), ..Row::default() });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    /// Prints the table.
    pub fn print(&self) {
        println!(
            "\n{:<12} {:>12} {:>16} {:>16} {:>9} {:>9} {:>9}  RESTORED",
            "VOLUME", "READ", "UPLOADED FIRST", "UPLOADED SECOND", "FIRST", "SECOND", "RESTORE"
        );
        for row in &self.0 {
            println!(
                "{:<12} {:>12} {:>16} {:>16} {:>7.1} s {:>7.1} s {:>7.1} s  {}",
                row.volume,
                HumanBytes(row.read).to_string(),
                HumanBytes(row.uploaded_first).to_string(),
                HumanBytes(row.uploaded_second).to_string(),
                row.seconds_first,
                row.seconds_second,
                row.seconds_restore,
                if row.is_equal() { "equal" } else { "NOT EQUAL" }
            );
        }
        println!();
    }

    /// Fails unless every volume came back equal and the second backup uploaded little.
    ///
    /// # Errors
    /// Naming the first difference.
    pub fn verdict(&self) -> Result<()> {
        for row in &self.0 {
            if !row.is_equal() {
                bail!(
                    "{}: {}",
                    row.volume,
                    first_difference(&row.fingerprint_origin, &row.fingerprint_restored)
                );
            }
            if row.uploaded_second * 4 > row.uploaded_first {
                bail!(
                    "{}: the second backup uploaded {} of the first one's {}",
                    row.volume,
                    row.uploaded_second,
                    row.uploaded_first
                );
            }
        }
        Ok(())
    }
}

fn first_difference(origin: &str, restored: &str) -> String {
    let lines =
        origin.lines().map(Some).chain(std::iter::repeat(None)).zip(restored.lines().map(Some).chain([None]));
    lines.take(1_000_000).find(|(was, is)| was != is).map_or_else(
        || "the restored volume holds less than the origin".to_owned(),
        |(was, is)| format!("was {:?}, is {:?}", was.unwrap_or("nothing"), is.unwrap_or("nothing")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_and_an_empty_fingerprint_are_no_success() {
        let mut report = Report::new(["files"]);
        assert!(report.verdict().is_err());
        let row = report.row("files");
        *row = Row { fingerprint_origin: "a\nb".into(), fingerprint_restored: "a\nc".into(), ..row.clone() };
        assert!(report.verdict().unwrap_err().to_string().contains("was \"b\", is \"c\""));
        report.row("files").fingerprint_restored = "a\nb".into();
        assert!(report.verdict().is_ok());
        report.row("files").uploaded_second = 1;
        assert!(report.verdict().is_err());
    }
}
