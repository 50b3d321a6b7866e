//! The operator's flags. Also the reference for the chart.

use std::collections::BTreeMap;

use clap::{Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

use crate::objects::MoverOptions;
use crate::slots::SlotLimits;
use crate::status::Limits;
use longshore_job::parse_bytes;

/// Moves the data of CSI snapshots off the cluster and back.
#[derive(Debug, Clone, Parser)]
#[command(name = "longshore-operator", version, about, long_about = None)]
pub struct Options {
    /// Namespaces that may hold movers and repository Secrets, separated by commas; the operator's own if absent. With an empty list every run is
    /// refused.
    #[arg(long, env = "LONGSHORE_PROTECTED_NAMESPACES", value_delimiter = ',')]
    pub protected_namespaces: Vec<String>,
    /// Image of the mover; that of the operator's own pod if absent.
    #[arg(long, env = "LONGSHORE_IMAGE")]
    pub image: Option<String>,
    /// Pull policy of that image: Always, IfNotPresent or Never.
    #[arg(long, default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: String,
    /// Memory limit of a mover; its buffers get half of it.
    #[arg(long, default_value = "512Mi", value_parser = memory)]
    pub mover_memory: String,
    /// ServiceAccount of movers, in each protected namespace; it needs no rights.
    #[arg(long, default_value = "longshore-mover")]
    pub mover_service_account: String,
    /// ServiceAccount of maintenance and of what forgets restore points, where stores know identities of pods; that of movers if absent.
    #[arg(long)]
    pub maintenance_service_account: Option<String>,
    /// Longest time for a run's mover, attempts included, for example 12h; unlimited if absent.
    #[arg(long, value_parser = duration)]
    pub mover_deadline: Option<SignedDuration>,
    /// Backups at work at once.
    #[arg(long, env = "DATAMOVER_CONCURRENT_BACKUP", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrent_backups: u32,
    /// Restores at work at once.
    #[arg(long, env = "DATAMOVER_CONCURRENT_RESTORE", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrent_restores: u32,
    /// Backups and restores together at work at once on one repository (a Secret of a protected namespace); unlimited if absent. Restores go first.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrent_per_repository: Option<u32>,
    /// Movers of all runs at once on one node; unlimited if absent.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrent_per_node: Option<u32>,
    /// Restore points being forgotten at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrent_forgets: u32,
    /// How long a completed ForgetRequest stays.
    #[arg(long, default_value = "168h", value_parser = duration)]
    pub forget_ttl: SignedDuration,
    /// Lets a namespace restore another's points: SOURCE=TARGET. May be repeated.
    #[arg(long, value_name = "SOURCE=TARGET", value_parser = allowance)]
    pub allow_restore: Vec<(String, String)>,
    /// How long a run waits for source objects that are missing.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub source_timeout: SignedDuration,
    /// How long a run waits for snapshots, volumes, quota, permissions, and a place for its mover.
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub prepare_timeout: SignedDuration,
    /// How long a run waits for its Secret.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub secret_timeout: SignedDuration,
    /// Value of `spec.datamover` of Velero's DataUploads and DataDownloads that are served; all others are left alone.
    #[arg(long, default_value = "longshore", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub data_mover_name: String,
    /// How long a DataUpload or DataDownload may be accepted, and not queued, without its mover having started.
    #[arg(long, default_value = "30m", value_parser = duration)]
    pub data_mover_prepare_timeout: SignedDuration,
    /// Keep the CSI snapshots of DataUploads in the cluster, for a quick way back. Nobody else removes them.
    #[arg(long)]
    pub keep_snapshots: bool,
    /// Where metrics are served, for example :8080.
    #[arg(long, default_value = ":8080")]
    pub metrics_bind_address: String,
    /// Where health is served, for example :8081.
    #[arg(long, default_value = ":8081")]
    pub health_probe_bind_address: String,
    /// Work only while holding the lease, so that several replicas may run.
    #[arg(long)]
    pub leader_elect: bool,
    /// Namespace of the lease; the pod's own if absent.
    #[arg(long, env = "POD_NAMESPACE")]
    pub leader_election_namespace: Option<String>,
    /// Level of the logs of operator and movers: error, warn, info, debug or trace.
    #[arg(long, default_value = "info", value_parser = ["error", "warn", "info", "debug", "trace"])]
    pub log_level: String,
    /// Form of the logs: json or text.
    #[arg(long, default_value = "json", value_parser = ["json", "text"])]
    pub log_format: String,
    /// Print something instead of running.
    #[command(subcommand)]
    pub print: Option<Print>,
}

/// What to print instead of running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Print {
    /// The resource definitions, as YAML.
    Crds,
    /// A reference page, as Markdown.
    #[command(hide = true)]
    Reference {
        /// Which page.
        page: Page,
    },
}

/// A reference page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Page {
    /// Fields of the resources.
    Resources,
    /// Reasons in conditions and events.
    Reasons,
}

fn memory(text: &str) -> Result<String, String> {
    parse_bytes(text).map(|_| text.to_owned()).ok_or_else(|| "not a quantity such as 512Mi".to_owned())
}

/// Reads a duration such as `90s`, `10m`, `24h` or `1h30m`.
///
/// # Errors
/// When it is none, or not above zero.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration: SignedDuration =
        text.parse().map_err(|_| "not a duration such as 90s, 10m or 24h".to_owned())?;
    if duration <= SignedDuration::ZERO {
        return Err("must be above zero".to_owned());
    }
    Ok(duration)
}

fn allowance(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((source, target)) if !source.is_empty() && !target.is_empty() => {
            Ok((source.to_owned(), target.to_owned()))
        }
        _ => Err("expected SOURCE=TARGET".to_owned()),
    }
}

impl Options {
    /// The part for movers.
    pub fn mover(&self) -> MoverOptions {
        MoverOptions {
            image: self.image.clone().unwrap_or_else(|| "longshore:latest".to_owned()),
            image_pull_policy: self.image_pull_policy.clone(),
            memory: self.mover_memory.clone(),
            service_account: self.mover_service_account.clone(),
            maintenance_service_account: self
                .maintenance_service_account
                .clone()
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| self.mover_service_account.clone()),
            deadline_seconds: self.mover_deadline.map(|deadline| deadline.as_secs()),
            log_level: self.log_level.clone(),
            protected_namespaces: self.protected_namespaces.clone(),
        }
    }

    /// How many runs work at once.
    pub fn slots(&self) -> SlotLimits {
        SlotLimits {
            backups: self.concurrent_backups,
            restores: self.concurrent_restores,
            forgets: self.concurrent_forgets,
            per_repository: self.concurrent_per_repository,
        }
    }

    /// How long runs wait.
    pub fn limits(&self) -> Limits {
        Limits { source: self.source_timeout, prepare: self.prepare_timeout, secret: self.secret_timeout }
    }

    /// Whether a DataUpload or DataDownload names this mover.
    pub fn is_ours(&self, data_mover: Option<&str>) -> bool {
        data_mover == Some(self.data_mover_name.as_str())
    }

    /// Namespaces whose points `target` may restore beside its own.
    pub fn allowed_sources(&self, target: &str) -> Vec<String> {
        let mut sources: BTreeMap<&str, ()> = BTreeMap::new();
        for (source, allowed) in &self.allow_restore {
            if allowed == target {
                sources.insert(source, ());
            }
        }
        sources.into_keys().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read() {
        let options = Options::parse_from([
            "longshore-operator",
            "--protected-namespaces=a,b",
            "--allow-restore=shop=shop-copy",
            "--allow-restore",
            "x=shop-copy",
            "--mover-memory=1Gi",
            "--prepare-timeout=1h30m",
        ]);
        assert_eq!(options.protected_namespaces, ["a", "b"]);
        assert_eq!(options.allowed_sources("shop-copy"), ["shop", "x"]);
        assert!(options.allowed_sources("shop").is_empty());
        assert_eq!(options.mover().memory, "1Gi");
        assert_eq!(options.mover().maintenance_service_account, "longshore-mover");
        assert_eq!(options.forget_ttl, SignedDuration::from_hours(7 * 24));
        assert_eq!(options.limits().prepare, SignedDuration::from_mins(90));
        assert!(options.is_ours(Some("longshore")));
        for other in [None, Some(""), Some("velero"), Some("Longshore"), Some("longshore2")] {
            assert!(!options.is_ours(other), "{other:?}");
        }
        for wrong in
            ["--mover-memory=lots", "--secret-timeout=0s", "--allow-restore=shop", "--concurrent-backups=0"]
        {
            assert!(Options::try_parse_from(["longshore-operator", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn vsm_25_what_oadp_starts_without_arguments_is_understood() {
        let bare = Options::parse_from(["longshore-operator"]);
        assert!(bare.protected_namespaces.is_empty() && bare.image.is_none());
        assert_eq!(bare.slots(), SlotLimits { backups: 10, restores: 10, forgets: 4, per_repository: None });
        let flags = [
            "longshore-operator",
            "--metrics-bind-address",
            ":8080",
            "--health-probe-bind-address",
            ":8081",
            "--leader-elect",
        ];
        assert!(Options::parse_from(flags).leader_elect);
        let none = Options::parse_from(["longshore-operator", "--protected-namespaces="]);
        assert_eq!(none.protected_namespaces, [""], "an empty list is no list");
        let limited = Options::parse_from([
            "longshore-operator",
            "--concurrent-per-repository=3",
            "--concurrent-per-node=2",
        ]);
        assert_eq!((limited.slots().per_repository, limited.concurrent_per_node), (Some(3), Some(2)));
    }
}
