//! What may stand on the plugin's command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::kind::RunName;

/// Backs up and restores volumes of the cluster, and looks after the runs that do it.
#[derive(Debug, Parser)]
#[command(name = "kubectl longshore", bin_name = "kubectl longshore", version, max_term_width = 100)]
#[command(after_help = EXIT_CODES)]
pub struct Arguments {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArguments,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed, or the doctor found an error
  2    wrong usage

What is printed on stdout is the result; progress and hints go to stderr.";

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct GlobalArguments {
    /// The kubeconfig's context to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Path of the kubeconfig; otherwise KUBECONFIG and the usual place
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace; otherwise the context's
    #[arg(long, short, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Back up PVCs: takes CSI snapshots and moves their data into the repository
    ///
    /// A VolumeSnapshot that the command takes belongs to its run: it goes when the run is deleted, and with --wait as soon as
    /// the run is completed. After a failure it stays, so that another try can begin from it.
    Backup(BackupArguments),
    /// Restore a backup as a CSI snapshot, and with --target-pvc as a PVC
    Restore(RestoreArguments),
    /// Show runs, repositories and deletions; one of them in detail when it is named
    Status(StatusArguments),
    /// Look for what keeps backups and restores from working, and say what to do
    Doctor(DoctorArguments),
    /// Print what a run's mover logs
    Logs(LogsArguments),
    /// End a run; data that is in the repository stays there
    Cancel(CancelArguments),
}

/// Form of what is printed on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// Columns for people
    Table,
    /// More columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Names only
    Name,
}

/// How much of a change is really made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// All of it
    None,
    /// Nothing; nor is the API server asked to check it
    Client,
    /// Nothing, but the API server checks it
    Server,
}

/// Flags of commands that change something.
#[derive(Debug, Clone, Copy, Args)]
pub struct WriteArguments {
    /// Form of what is printed on stdout
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORM")]
    pub output: OutputForm,
    /// Make no change, only say what it would be
    #[arg(long, value_enum, default_value = "none", value_name = "WHERE")]
    pub dry_run: DryRun,
}

/// Flags of commands that start runs.
#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// What is printed, and whether anything is done.
    #[command(flatten)]
    pub write: WriteArguments,
    /// Namespace of movers and Secrets; otherwise found through Repositories or the operator
    #[arg(long, value_name = "NAME")]
    pub protected_namespace: Option<String>,
    /// Secret, in the protected namespace, with the repository's address and key; otherwise the one that the Repository there names
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,
    /// Repository of the protected namespace whose Secret is used, when there are several
    #[arg(long, value_name = "NAME", conflicts_with = "secret")]
    pub repository: Option<String>,
    /// Name of the run; otherwise made from the PVC's name and the time
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Wait until the run is over; how far it is goes to stderr
    #[arg(long)]
    pub wait: bool,
    /// Longest time to wait, as 90s, 10m, 2h; without it ten minutes for a snapshot to become ready, and no limit for a run
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// `kubectl longshore backup`
#[derive(Debug, Clone, Args)]
pub struct BackupArguments {
    /// PVCs of the namespace
    #[arg(value_name = "PVC", required_unless_present = "volume_snapshots")]
    pub claims: Vec<String>,
    /// A VolumeSnapshot that exists, instead of a new one; may be given several times
    #[arg(long = "volume-snapshot", value_name = "NAME")]
    pub volume_snapshots: Vec<String>,
    /// VolumeSnapshotClass of new snapshots; otherwise the only or the default one of the volume's driver
    #[arg(long, value_name = "NAME")]
    pub snapshot_class: Option<String>,
    /// Leave new VolumeSnapshots in the cluster, whatever becomes of the run
    #[arg(long)]
    pub keep_snapshot: bool,
    /// What every run takes.
    #[command(flatten)]
    pub run: RunArguments,
}

/// `kubectl longshore restore`
#[derive(Debug, Clone, Args)]
pub struct RestoreArguments {
    /// A completed VolumeSnapshotBackup
    #[arg(value_name = "BACKUP", required_unless_present = "reference", conflicts_with = "reference")]
    pub backup: Option<String>,
    /// Namespace of that backup; otherwise that of the restore
    #[arg(long, value_name = "NAME", conflicts_with = "reference")]
    pub backup_namespace: Option<String>,
    /// Restore point by its reference, longshore://…, as status.resticrepository or `longshore snapshots` show it
    #[arg(long, value_name = "REFERENCE", requires = "size")]
    pub reference: Option<String>,
    /// PVC to make from the restored snapshot; one of that name that exists is never touched
    #[arg(long, value_name = "NAME")]
    pub target_pvc: Option<String>,
    /// Size of the volume, as 10Gi; otherwise that of the backup
    #[arg(long, value_name = "QUANTITY", value_parser = parse_quantity)]
    pub size: Option<String>,
    /// StorageClass of the volume; otherwise that of the backup
    #[arg(long, value_name = "NAME")]
    pub storage_class: Option<String>,
    /// Access mode of the PVC; ReadWriteOnce unless given, may be given several times
    #[arg(long = "access-mode", value_name = "MODE", requires = "target_pvc")]
    pub access_modes: Vec<String>,
    /// VolumeSnapshotClass of the restored snapshot; otherwise that of the backup, or the driver's only or default one
    #[arg(long, value_name = "NAME")]
    pub snapshot_class: Option<String>,
    /// How long the restored snapshot is kept when no PVC is made from it; 24h unless given
    #[arg(long, value_name = "DURATION")]
    pub snapshot_ttl: Option<String>,
    /// What every run takes.
    #[command(flatten)]
    pub run: RunArguments,
}

/// `kubectl longshore status`
#[derive(Debug, Clone, Args)]
pub struct StatusArguments {
    /// What to show, as NAME or TYPE/NAME (vsb, vsr, du, dd, lrepo, lforget); all if none is given
    #[arg(value_name = "NAME")]
    pub names: Vec<RunName>,
    /// All namespaces
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Form of what is printed on stdout
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORM")]
    pub output: OutputForm,
    /// Name of Longshore in DataUploads and DataDownloads; those of other data movers are not shown
    #[arg(long, value_name = "NAME", default_value = "longshore")]
    pub data_mover: String,
}

/// `kubectl longshore doctor`
#[derive(Debug, Clone, Args)]
pub struct DoctorArguments {
    /// Form of what is printed on stdout; table and wide are the same
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORM")]
    pub output: OutputForm,
}

/// `kubectl longshore logs`
#[derive(Debug, Clone, Args)]
pub struct LogsArguments {
    /// The run, as NAME or TYPE/NAME
    #[arg(value_name = "RUN")]
    pub run: RunName,
    /// Wait for the mover if need be, and go on until it ends
    #[arg(long, short)]
    pub follow: bool,
    /// Of the attempt before the last one: each attempt has a pod of its own
    #[arg(long, short, conflicts_with = "follow")]
    pub previous: bool,
    /// Only so many of the last lines
    #[arg(long, value_name = "LINES")]
    pub tail: Option<i64>,
}

/// `kubectl longshore cancel`
#[derive(Debug, Clone, Args)]
pub struct CancelArguments {
    /// The run, as NAME or TYPE/NAME
    #[arg(value_name = "RUN")]
    pub run: RunName,
    /// What is printed, and whether anything is done.
    #[command(flatten)]
    pub write: WriteArguments,
}

impl Command {
    /// Whether errors, too, are to be JSON.
    pub fn wants_json(&self) -> bool {
        let form = match self {
            Self::Backup(verb) => verb.run.write.output,
            Self::Restore(verb) => verb.run.write.output,
            Self::Status(verb) => verb.output,
            Self::Doctor(verb) => verb.output,
            Self::Cancel(verb) => verb.write.output,
            Self::Logs(_) => OutputForm::Table,
        };
        form == OutputForm::Json
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let read = text.parse::<jiff::SignedDuration>().ok().and_then(|read| Duration::try_from(read).ok());
    read.filter(|read| !read.is_zero())
        .ok_or_else(|| "expected a duration above zero, as 90s, 10m, 2h".to_owned())
}

fn parse_quantity(text: &str) -> Result<String, String> {
    match longshore_job::parse_bytes(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("expected a quantity, as 500Mi, 10Gi".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, clap::Error> {
        let all = std::iter::once("kubectl-longshore").chain(arguments.iter().copied());
        Arguments::try_parse_from(all).map(|parsed| parsed.command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_of_kubectl_stand_before_or_after_the_verb() {
        for arguments in [
            ["kubectl-longshore", "-n", "shop", "status", "--context=prod"],
            ["kubectl-longshore", "--context=prod", "status", "-n", "shop"],
        ] {
            let global = Arguments::try_parse_from(arguments).unwrap().global;
            assert_eq!(
                (global.namespace.as_deref(), global.context.as_deref()),
                (Some("shop"), Some("prod"))
            );
        }
    }

    #[test]
    fn a_backup_needs_a_pvc_or_a_snapshot() {
        assert!(parse(&["backup"]).is_err());
        let Command::Backup(verb) = parse(&["backup", "a", "b", "--wait", "--timeout=1h30m"]).unwrap() else {
            panic!()
        };
        assert_eq!((verb.claims.len(), verb.run.wait), (2, true));
        assert_eq!(verb.run.timeout, Some(Duration::from_secs(5400)));
        assert!(parse(&["backup", "--volume-snapshot", "s"]).is_ok());
        for wrong in ["--timeout=0s", "--timeout=-1m", "--timeout=soon", "--dry-run=maybe", "--output=xml"] {
            assert!(parse(&["backup", "a", wrong]).is_err(), "{wrong}");
        }
        assert!(parse(&["backup", "a", "--secret=s", "--repository=r"]).is_err());
    }

    #[test]
    fn a_restore_needs_a_backup_or_a_reference_with_a_size() {
        assert!(parse(&["restore"]).is_err());
        assert!(parse(&["restore", "b", "--target-pvc=data"]).is_ok());
        assert!(parse(&["restore", "--reference=longshore://a/b/c/d?mode=Block"]).is_err());
        assert!(parse(&["restore", "--reference=longshore://a/b/c/d?mode=Block", "--size=1Gi"]).is_ok());
        assert!(parse(&["restore", "b", "--reference=x", "--size=1Gi"]).is_err());
        assert!(parse(&["restore", "b", "--size=lots"]).is_err());
    }

    #[test]
    fn json_errors_go_with_json_results() {
        assert!(parse(&["doctor", "-o", "json"]).unwrap().wants_json());
        assert!(!parse(&["status", "-A"]).unwrap().wants_json());
    }
}
