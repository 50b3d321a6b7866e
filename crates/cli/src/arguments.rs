//! What may stand on the command line.

mod init;
mod key;
mod lock;
mod repair;

pub use init::{InitArguments, standard_settings};
pub use key::{
    AddKeyArguments, KeyArguments, KeyCommand, RecoveryKeyArguments, RemoveKeyArguments, RoleArgument,
};
pub use lock::{LockArguments, LockModeArgument};
pub use repair::{
    RepairArguments, RepairCommand, RepairPacksArguments, RepairSnapshotsArguments, UndeleteArguments,
};

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use longshore_repo::Anchor;

use crate::rate::bytes_per_second;

/// Backs up volumes and folders into an encrypted, deduplicating repository and brings them back.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, max_term_width = 100)]
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
  1    failed
  2    wrong usage
  3    done, but some files could not be read; the snapshot is marked incomplete
  4    bucket, snapshot or path not found
  10   there is no repository
  12   the password or key does not open the repository
  130  interrupted

Stores are set up by their usual variables, for S3 AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL.
The password comes from --password-file, LONGSHORE_PASSWORD_FILE or LONGSHORE_PASSWORD. A key file or an age identity
comes from --key-file or LONGSHORE_KEY_FILE, and goes before a password; a recovery key is given as either.";

/// What every command takes.
#[derive(Debug, Args)]
pub struct GlobalArguments {
    /// The repository: a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix
    #[arg(
        long,
        short,
        global = true,
        env = "LONGSHORE_REPOSITORY",
        hide_env_values = true,
        value_name = "REPOSITORY"
    )]
    pub repo: Option<String>,
    /// File that holds the repository's password; a line break at its end is left out
    #[arg(long, global = true, env = "LONGSHORE_PASSWORD_FILE", hide_env_values = true, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The most that is sent to the store, in bytes a second with a unit, as 512K or 10M; no limit unless given
    #[arg(long, global = true, value_parser = bytes_per_second, value_name = "RATE")]
    pub limit_upload: Option<NonZeroU64>,
    /// The most that is received from the store, likewise
    #[arg(long, global = true, value_parser = bytes_per_second, value_name = "RATE")]
    pub limit_download: Option<NonZeroU64>,
    /// File that holds a key instead of a password: one made by `longshore key add`, or an age identity
    #[arg(long, global = true, env = "LONGSHORE_KEY_FILE", hide_env_values = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The beginning of the id of the key that the password belongs to. Without it passwords are tried one after the other, the
    /// newest first, each for a fifth of a second
    #[arg(long, global = true, env = "LONGSHORE_KEY_SLOT", hide_env_values = true, value_name = "ID")]
    pub key_slot: Option<String>,
    /// Fail unless the store shows at least the state of this checkpoint, as `longshore checkpoint` printed it
    #[arg(
        long,
        global = true,
        env = "LONGSHORE_EXPECT_CHECKPOINT",
        hide_env_values = true,
        value_name = "NUMBER:DIGEST"
    )]
    pub expect_checkpoint: Option<Anchor>,
    /// Form of what is printed on stdout, and of errors
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: OutputForm,
    /// How progress is shown on stderr: a bar on a terminal and plain lines elsewhere, unless told otherwise
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub progress: ProgressForm,
    /// How much is logged on stderr
    #[arg(
        long,
        global = true,
        value_enum,
        env = "LONGSHORE_LOG",
        hide_env_values = true,
        value_name = "LEVEL"
    )]
    pub log_level: Option<Level>,
    /// Form of log lines
    #[arg(
        long,
        global = true,
        value_enum,
        env = "LONGSHORE_LOG_FORMAT",
        hide_env_values = true,
        value_name = "FORM"
    )]
    pub log_format: Option<OutputForm>,
}

/// Form of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// For people.
    #[default]
    Text,
    /// For programs; documents carry a version and only ever gain fields.
    Json,
}

/// Form of progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressForm {
    /// A bar on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// A line every few seconds.
    Plain,
    /// One JSON object a line.
    Json,
    /// Nothing.
    None,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Failures only.
    Error,
    /// What a person should look at.
    Warn,
    /// One line a stage.
    Info,
    /// Decisions.
    Debug,
    /// Every object.
    Trace,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new repository
    Init(InitArguments),
    /// Back up a block device, a disk image or a folder; prints the snapshot's id
    Backup(BackupArguments),
    /// Bring a snapshot back to a block device, an image file or a folder
    Restore(RestoreArguments),
    /// List the snapshots of the repository, oldest first
    Snapshots(SnapshotsArguments),
    /// List files of a snapshot of a folder
    Ls(LsArguments),
    /// Check the repository's structure; with --read-data every byte
    Check(CheckArguments),
    /// Forget snapshots, by name or by policy; `prune` gives their space back
    Forget(ForgetArguments),
    /// Give back the space of what no snapshot needs, while backups and restores go on
    Prune(PruneArguments),
    /// Sign what is there now, and print how to recognise it later
    Checkpoint,
    /// Lock what the snapshots need against deletion, in a bucket with Object Lock
    Lock(LockArguments),
    /// Save what can be saved of a damaged repository, and say what cannot
    Repair(RepairArguments),
    /// Keys of the repository: who may open it, and as what
    Key(KeyArguments),
    /// Show what differs between two snapshots of folders or of volumes
    ///
    /// Folders: `+` added, `-` removed, `M` content changed, `T` another kind of thing, `U` only attributes changed. Volumes:
    /// offset and length in bytes of each range that differs; `+` was a hole, `-` became one, `M` data on both sides. What is
    /// equal is not read.
    Diff(DiffArguments),
    /// Show what snapshots need and what the repository takes; reads no data
    Stats(StatsArguments),
    /// Copy snapshots into another repository, which has its own password
    ///
    /// What the other repository holds already is not copied again. Its store is set up by the usual variables; where it needs
    /// others than the first one, put LONGSHORE_TO_ before their names, as in LONGSHORE_TO_AWS_ACCESS_KEY_ID. As soon as one
    /// variable of a family (AWS_, AZURE_, GOOGLE_) is given so, the plain ones of that family do not count for it.
    Copy(CopyArguments),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the versions of program and repository format
    Version,
    /// Run as a mover's pod: the task comes from LONGSHORE_JOB, credentials from a mounted Secret
    #[command(hide = true)]
    Mover(MoverArguments),
    /// Print this command line's reference as Markdown
    #[command(hide = true)]
    Reference,
}

/// `longshore backup`
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// Block device, disk image or folder
    pub path: PathBuf,
    /// Make the repository if the place is empty
    #[arg(long)]
    pub init: bool,
    /// Name of this machine in the snapshot; snapshots of one host and path share history
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// A label for the snapshot; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
    /// Read every file, also those that look unchanged since the last snapshot
    #[arg(long)]
    pub force: bool,
    /// Do not enter other file systems below the folder
    #[arg(long)]
    pub one_file_system: bool,
}

/// `longshore restore`
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// Snapshot: its id, a unique prefix of it, or `latest`
    pub snapshot: String,
    /// Block device or image file for a volume, folder for files
    pub target: PathBuf,
    /// Remove what the folder holds beside the snapshot's files
    #[arg(long)]
    pub delete: bool,
    /// Leave owner and group of files to whoever runs this
    #[arg(long)]
    pub skip_owner: bool,
    /// Leave out attributes that only a fully privileged process may set, instead of failing
    #[arg(long)]
    pub skip_privileged_xattrs: bool,
}

/// `longshore snapshots`
#[derive(Debug, Args)]
pub struct SnapshotsArguments {
    /// Only snapshots whose source contains this text (namespace/pvc or host:path)
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// Only snapshots with this label, of their own or of their PVC; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
}

/// `longshore ls`
#[derive(Debug, Args)]
pub struct LsArguments {
    /// Snapshot: its id, a unique prefix of it, or `latest`
    pub snapshot: String,
    /// Folder or file within the snapshot
    #[arg(default_value = "/")]
    pub path: PathBuf,
    /// Go into folders
    #[arg(long, short = 'R')]
    pub recursive: bool,
}

/// `longshore check`
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Read, decrypt and compare every stored byte; with a percentage, as --read-data=10%, those of such a part of the packs,
    /// another one every day
    #[arg(
        long,
        value_name = "PERCENT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "100",
        value_parser = parse_percent
    )]
    pub read_data: Option<u32>,
    /// Which part of the packs is read: parts with numbers one after the other cover all. Else the number of days since 1970
    #[arg(long, value_name = "NUMBER", requires = "read_data")]
    pub part: Option<u64>,
    /// Use no password or key: prove that every pack and index segment has the content that its name says, and that
    /// everything else has its form
    #[arg(long, conflicts_with = "read_data")]
    pub keyless: bool,
}

/// `longshore forget`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct ForgetArguments {
    /// Snapshots to forget: ids or unique prefixes. Named ones are forgotten whatever they are
    #[arg(group = "what")]
    pub snapshots: Vec<String>,
    /// Keep this many of the newest, of each source
    #[arg(long, value_name = "N", group = "what", conflicts_with = "snapshots")]
    pub keep_last: Option<u32>,
    /// Keep the newest of this many hours
    #[arg(long, value_name = "N", group = "what", conflicts_with = "snapshots")]
    pub keep_hourly: Option<u32>,
    /// Keep the newest of this many days
    #[arg(long, value_name = "N", group = "what", conflicts_with = "snapshots")]
    pub keep_daily: Option<u32>,
    /// Keep the newest of this many weeks
    #[arg(long, value_name = "N", group = "what", conflicts_with = "snapshots")]
    pub keep_weekly: Option<u32>,
    /// Keep the newest of this many months
    #[arg(long, value_name = "N", group = "what", conflicts_with = "snapshots")]
    pub keep_monthly: Option<u32>,
    /// Keep the newest of this many years
    #[arg(long, value_name = "N", group = "what", conflicts_with = "snapshots")]
    pub keep_yearly: Option<u32>,
    /// Keep everything not older than this before the newest: 36h, 14d, 2w
    #[arg(long, value_name = "DURATION", group = "what", conflicts_with = "snapshots", value_parser = parse_duration)]
    pub keep_within: Option<Duration>,
    /// Keep snapshots with this label; may be given several times
    #[arg(long, value_name = "KEY=VALUE", group = "what", conflicts_with = "snapshots", value_parser = parse_label)]
    pub keep_label: Vec<(String, String)>,
    /// Only snapshots whose source contains this text (namespace/pvc or host:path)
    #[arg(long, value_name = "TEXT", conflicts_with = "snapshots")]
    pub source: Option<String>,
    /// Say what would be forgotten, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Prune afterwards
    #[arg(long, conflicts_with = "dry_run")]
    pub prune: bool,
}

/// How long what was deleted stays hidden in a bucket that keeps versions, unless told otherwise.
pub const KEEP_HIDDEN: Duration = Duration::from_secs(7 * 86_400);

/// `longshore prune`
#[derive(Debug, Args)]
pub struct PruneArguments {
    /// Waste within packs that may stay, in percent of what is needed
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub max_unused: u32,
    /// Copy at most so much together; 0 needs no space at all: 500M, 20G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_copy: Option<u64>,
    /// Copy out of packs, too, that were sealed before the last `longshore key rotate`: old secrets then open nothing of what
    /// snapshots need. With --max-copy a part in each run
    #[arg(long)]
    pub reseal: bool,
    /// Wait at most so long for backups that are still at work; what is left to do, the next prune does
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub wait: Duration,
    /// In a bucket that keeps versions: how long what was deleted stays hidden before it is removed for good
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = parse_duration)]
    pub keep_hidden: Duration,
    /// Say what would be deleted, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// `longshore diff`
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// The earlier snapshot: its id, a unique prefix of it, or `latest`
    pub before: String,
    /// The later snapshot
    pub after: String,
    /// Show also entries of which only attributes changed: owner, mode, time, extended attributes, links
    #[arg(long)]
    pub metadata: bool,
}

/// `longshore stats`
#[derive(Debug, Args)]
pub struct StatsArguments {
    /// Snapshots to look at, each an id, a unique prefix of one, or `latest`; all if none is given
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,
}

/// `longshore copy`
#[derive(Debug, Args)]
pub struct CopyArguments {
    /// Snapshots to copy, each an id, a unique prefix of one, or `latest`; all if none is given
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,
    /// The repository to copy into, written as in --repo
    #[arg(long, env = "LONGSHORE_TO_REPOSITORY", hide_env_values = true, value_name = "REPOSITORY")]
    pub to: String,
    /// File that holds the password of the repository to copy into; else LONGSHORE_TO_PASSWORD holds it
    #[arg(long, env = "LONGSHORE_TO_PASSWORD_FILE", hide_env_values = true, value_name = "FILE")]
    pub to_password_file: Option<PathBuf>,
    /// Make the repository to copy into if its place is empty
    #[arg(long)]
    pub init: bool,
}

/// `longshore mover`
#[derive(Debug, Args)]
pub struct MoverArguments {
    /// Folder of the mounted Secret
    #[arg(long, value_name = "FOLDER", default_value = longshore_job::CREDENTIALS_DIR)]
    pub credentials: PathBuf,
    /// Folder of the repository, if it is on a volume; an address in the Secret is ignored then
    #[arg(long, value_name = "FOLDER")]
    pub repository: Option<PathBuf>,
    /// Where a Filesystem volume is mounted
    #[arg(long, value_name = "FOLDER", default_value = longshore_job::FILESYSTEM_PATH)]
    pub filesystem: PathBuf,
    /// Where a Block volume appears
    #[arg(long, value_name = "DEVICE", default_value = longshore_job::BLOCK_PATH)]
    pub block: PathBuf,
    /// Where the result is left
    #[arg(long, value_name = "FILE", default_value = longshore_job::TERMINATION_MESSAGE_PATH)]
    pub result: PathBuf,
    /// Leave out attributes that the pod's rights cannot restore, instead of failing
    #[arg(long)]
    pub skip_privileged_xattrs: bool,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// A percentage, 1 to 100, with or without its sign.
fn parse_percent(text: &str) -> Result<u32, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse().ok();
    percent.filter(|percent| (1..=100).contains(percent)).ok_or_else(|| "expected 1% to 100%".to_owned())
}

/// A number with a unit: s, m, h, d, w, y.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = longshore_job::parse_span(text);
    let expected = || "expected a number and a unit, as 90s, 15m, 36h, 14d, 2w, 1y".to_owned();
    seconds.map(Duration::from_secs).ok_or_else(expected)
}

/// A number of bytes with an optional binary unit: K, M, G, T.
fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || "expected a number of bytes, as 0, 500M, 20G".to_owned();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" | "Ki" | "KiB" => 10,
        "M" | "Mi" | "MiB" => 20,
        "G" | "Gi" | "GiB" => 30,
        "T" | "Ti" | "TiB" => 40,
        _ => return Err(expected()),
    };
    let count: u64 = digits.parse().map_err(|_| expected())?;
    count.checked_shl(shift).filter(|bytes| bytes >> shift == count).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn prune_keeps_what_is_hidden_as_long_as_forget_does() {
        let Command::Prune(verb) = Arguments::parse_from(["longshore", "prune"]).command else { panic!() };
        assert_eq!(verb.keep_hidden, KEEP_HIDDEN);
    }

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(parse_duration("36h").unwrap(), Duration::from_secs(36 * 3600));
        assert_eq!(parse_duration("2w").unwrap(), Duration::from_secs(14 * 86_400));
        for wrong in ["", "h", "5", "-1h", "1.5h", "3é"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_size("500M").unwrap(), 500 << 20);
        assert_eq!(parse_size("0").unwrap(), 0);
        for wrong in ["", "M", "5X", "-1", "99999999999999999999", "99999999999T"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_percentage_is_one_to_a_hundred() {
        assert_eq!((parse_percent("10%").unwrap(), parse_percent("100").unwrap()), (10, 100));
        for wrong in ["", "%", "0", "101", "-1", "1.5", "10%%"] {
            assert!(parse_percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_need_a_key() {
        assert_eq!(parse_label("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(parse_label("=b").is_err());
        assert!(parse_label("ab").is_err());
    }
}
