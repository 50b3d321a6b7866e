//! What a Velero server tells its plugins on the command line. It hands them its own arguments, so unknown ones are no error.

use std::path::PathBuf;

use tracing::Level;

/// The arguments that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// How Velero started this program; it wants to hear the same words in the listing.
    pub command: String,
    /// Velero's own CSI actions are switched on.
    pub velero_csi: bool,
    /// File that says where the cluster is; in a pod there is none.
    pub kubeconfig: Option<PathBuf>,
    /// Lowest level that is logged.
    pub log_level: Level,
}

impl Arguments {
    /// Reads `--key=value` and `--key value`; everything else is passed over.
    pub fn parse(words: &[String]) -> Self {
        let value = |key: &str| {
            let (equals, alone) = (format!("--{key}="), format!("--{key}"));
            words.iter().enumerate().skip(1).filter_map(move |(index, word)| {
                if let Some(value) = word.strip_prefix(&equals) {
                    return Some(value.to_owned());
                }
                let next = words.get(index + 1)?;
                (*word == alone && !next.starts_with("--")).then(|| next.clone())
            })
        };
        // Lists may be given in pieces; of everything else the last word counts.
        let features: Vec<String> = value("features").collect();
        Self {
            command: words.first().cloned().unwrap_or_default(),
            velero_csi: features.iter().flat_map(|list| list.split(',')).any(|one| one.trim() == "EnableCSI"),
            kubeconfig: value("kubeconfig").next_back().filter(|path| !path.is_empty()).map(PathBuf::from),
            log_level: match value("log-level").next_back().as_deref() {
                Some("trace" | "debug") => Level::DEBUG,
                _ => Level::INFO,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Arguments {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Arguments::parse(&words)
    }

    #[test]
    fn both_forms_are_read_and_the_unknown_is_passed_over() {
        let one =
            parse(&["/plugins/x", "--features=Other,EnableCSI", "--kubeconfig=/k", "--uploader-type=kopia"]);
        let two =
            parse(&["/plugins/x", "--new-flag", "--features", "EnableCSI", "--kubeconfig", "/k", "stray"]);
        assert_eq!(one, two);
        assert!(one.velero_csi);
        assert_eq!(one.kubeconfig, Some(PathBuf::from("/k")));
        let none = parse(&["/plugins/x", "--features", "--kubeconfig"]);
        assert!(!none.velero_csi && none.kubeconfig.is_none());
        assert_eq!(parse(&["x", "--log-level=debug"]).log_level, Level::DEBUG);
        assert_eq!(parse(&[]).command, "");
    }
}
