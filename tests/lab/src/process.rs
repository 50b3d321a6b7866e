//! Long-lived processes that outlive the program which started them: one file of JSON per process says how it was started and
//! which process it is, so that any later program can ask for it, stop it or start it again.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::pki::write_private;
use crate::shell::{last_lines, wait_until};

/// Every process of the lab carries this variable, with the lab's state folder as value; leftovers are found by it.
pub const MARKER: &str = "LONGSHORE_LAB";

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A process that should run does not. Waiting for anything that it should do is in vain.
#[derive(Debug)]
pub(crate) struct Ended {
    name: String,
    log: String,
    tail: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} does not run; its log {} ends with\n{}", self.name, self.log, self.tail)
    }
}

impl std::error::Error for Ended {}

/// How a process is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Unique in its supervisor; also the name of the log file.
    pub name: String,
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments, without the program's name. No secrets: everybody on the machine can read them.
    pub arguments: Vec<String>,
    /// Its whole environment beside PATH, HOME and the marker.
    pub environment: BTreeMap<String, String>,
    /// The network namespace it lives in; the host's when absent.
    pub network: Option<String>,
    /// Whether it is started again when it ends by itself, as the kubelet does with containers.
    #[serde(default)]
    pub respawn: bool,
}

/// Starts its arguments again and again. The pause keeps a program that cannot start from taking a whole processor.
const RESPAWN: &str = r#"while :; do "$@"; echo "--- ended with $?, starting again" >&2; sleep 0.3; done"#;

#[derive(Serialize, Deserialize)]
struct Record {
    spec: Spec,
    pid: i32,
    /// Start time in clock ticks since boot: tells a process from a later one with the same id.
    started: u64,
}

/// Starts, stops and finds the processes of one folder.
#[derive(Clone, Debug)]
pub struct Supervisor {
    records: PathBuf,
    logs: PathBuf,
    marker: String,
}

impl Supervisor {
    /// Keeps its records in `folder/processes` and the logs in `folder/logs`. `state` is the lab's state folder.
    pub fn new(folder: &Path, state: &Path) -> Self {
        Self {
            records: folder.join("processes"),
            logs: folder.join("logs"),
            marker: state.to_string_lossy().into_owned(),
        }
    }

    /// Starts a process in a session of its own. One of that name that still runs is killed first.
    pub fn start(&self, spec: &Spec) -> Result<()> {
        fs::create_dir_all(&self.records)?;
        fs::create_dir_all(&self.logs)?;
        self.stop(&spec.name, Signal::KILL)?;
        let log = OpenOptions::new().create(true).append(true).open(self.log(&spec.name))?;
        let mut command = Command::new("setsid");
        if let Some(network) = &spec.network {
            // Not `ip netns exec`: it makes a mount namespace, and mounts of the CSI driver would stay invisible.
            command.arg("nsenter").arg(format!("--net=/run/netns/{network}"));
        }
        if spec.respawn {
            command.args(["sh", "-c", RESPAWN, &spec.name]);
        }
        command.arg(&spec.program).args(&spec.arguments);
        command.env_clear().env("PATH", PATH).env("HOME", "/root").env(MARKER, &self.marker);
        command.envs(&spec.environment).current_dir("/");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn().with_context(|| format!("could not start {}", spec.name))?;
        let pid = i32::try_from(child.id()).context("process id")?;
        let started = start_time(pid).with_context(|| format!("{} ended at once", spec.name))?;
        // Collects the process should it end before this program does.
        std::thread::spawn(move || child.wait());
        self.write(&Record { spec: spec.clone(), pid, started })
    }

    /// Starts a process unless it runs already and was started in just this way.
    pub fn ensure(&self, spec: &Spec) -> Result<()> {
        let same = self.read(&spec.name)?.is_some_and(|record| record.spec == *spec);
        if same && self.pid(&spec.name)?.is_some() { Ok(()) } else { self.start(spec) }
    }

    /// Starts a process again as it was started last.
    pub fn restart(&self, name: &str) -> Result<()> {
        let record = self.read(name)?.with_context(|| format!("there is no process {name}"))?;
        self.start(&record.spec)
    }

    /// Sends `signal` to the process and its group and waits until they are gone; SIGKILL follows after ten seconds. Nothing happens
    /// when it does not run.
    pub fn stop(&self, name: &str, signal: Signal) -> Result<()> {
        let Some(pid) = self.pid(name)? else { return Ok(()) };
        let gone = || Ok(self.pid(name)?.is_none() && group_of(pid)?.is_empty());
        kill_group(pid, signal);
        if wait_until(name, Duration::from_secs(10), gone).is_err() {
            kill_group(pid, Signal::KILL);
            wait_until(&format!("end of {name}"), Duration::from_secs(10), gone)?;
        }
        Ok(())
    }

    /// Kills a process that is started again by itself, and waits until that has happened.
    pub fn crash(&self, name: &str) -> Result<()> {
        let leader = self.pid(name)?.with_context(|| format!("{name} does not run"))?;
        let members = || Ok::<_, anyhow::Error>(group_of(leader)?.into_iter().filter(|pid| *pid != leader));
        let victims: Vec<i32> = members()?.collect();
        victims.iter().for_each(|pid| kill(*pid, Signal::KILL));
        wait_until(&format!("return of {name}"), Duration::from_secs(10), || {
            Ok(members()?.any(|pid| !victims.contains(&pid) && program_of(pid) != program_of(leader)))
        })
    }

    /// The process id, if the process runs.
    pub fn pid(&self, name: &str) -> Result<Option<i32>> {
        let Some(record) = self.read(name)? else { return Ok(None) };
        Ok((start_time(record.pid) == Some(record.started)).then_some(record.pid))
    }

    /// Stops a process and forgets how it was started.
    pub fn forget(&self, name: &str) -> Result<()> {
        self.stop(name, Signal::KILL)?;
        remove_if_there(&self.record(name))
    }

    /// The names of all processes ever started here, running or not.
    pub fn names(&self) -> Result<Vec<String>> {
        let Ok(entries) = fs::read_dir(&self.records) else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".json").map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The file that holds what the process printed.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Fails with the end of its log when the process does not run.
    pub fn check(&self, name: &str) -> Result<()> {
        if self.pid(name)?.is_some() {
            return Ok(());
        }
        let text = fs::read_to_string(self.log(name)).unwrap_or_default();
        let log = self.log(name).display().to_string();
        Err(Ended { name: name.to_owned(), log, tail: last_lines(&text, 15) }.into())
    }

    fn record(&self, name: &str) -> PathBuf {
        self.records.join(format!("{name}.json"))
    }

    fn read(&self, name: &str) -> Result<Option<Record>> {
        match fs::read(self.record(name)) {
            // A record that was being written when its writer died names nothing that the marker would not find.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("could not read the record of {name}")),
        }
    }

    fn write(&self, record: &Record) -> Result<()> {
        let path = self.record(&record.spec.name);
        let half = path.with_extension("half");
        // The environment may hold a password.
        write_private(&half, &serde_json::to_string_pretty(record)?)?;
        fs::rename(&half, &path)?;
        Ok(())
    }
}

/// Sends a signal; a process that is gone already is fine.
pub(crate) fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

fn kill_group(leader: i32, signal: Signal) {
    // One that was started this very moment may not lead its group yet.
    kill(leader, signal);
    if let Some(pid) = Pid::from_raw(leader) {
        let _ = kill_process_group(pid, signal);
    }
}

/// The living processes of a group.
fn group_of(leader: i32) -> Result<Vec<i32>> {
    let in_group = |pid: &i32| stat(*pid).is_some_and(|fields| fields.get(2) == Some(&leader.to_string()));
    Ok(process_ids()?.into_iter().filter(in_group).collect())
}

fn program_of(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The ids of all processes but this one.
pub(crate) fn process_ids() -> Result<Vec<i32>> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut ids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        ids.extend(entry?.file_name().to_string_lossy().parse::<i32>().ok().filter(|pid| *pid != own));
    }
    Ok(ids)
}

/// The fields of a living process's state, from the third on: state, parent, group, session and so on.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces and brackets itself.
    let fields: Vec<String> = text.get(text.rfind(')')? + 2..)?.split(' ').map(str::to_owned).collect();
    (!matches!(fields.first()?.as_str(), "Z" | "X")).then_some(fields)
}

/// When the process started, in clock ticks since boot; nothing when it is gone or dead and not yet collected.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(respawn: bool) -> Spec {
        Spec {
            name: "sleeper".into(),
            program: "/bin/sleep".into(),
            arguments: vec!["1000".into()],
            environment: BTreeMap::new(),
            network: None,
            respawn,
        }
    }

    #[test]
    fn a_process_is_known_to_a_later_supervisor_and_stopped_by_it() {
        let folder = tempfile::tempdir().unwrap();
        Supervisor::new(folder.path(), folder.path()).start(&sleeper(false)).unwrap();
        let later = Supervisor::new(folder.path(), folder.path());
        let pid = later.pid("sleeper").unwrap().unwrap();
        later.ensure(&sleeper(false)).unwrap();
        assert_eq!(later.pid("sleeper").unwrap(), Some(pid), "the same way of starting starts nothing");
        later.check("sleeper").unwrap();
        later.stop("sleeper", Signal::TERM).unwrap();
        assert!(later.check("sleeper").unwrap_err().is::<Ended>());
        assert_eq!(later.names().unwrap(), ["sleeper"]);
    }

    #[test]
    fn a_crashed_process_comes_back_and_a_stopped_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let supervisor = Supervisor::new(folder.path(), folder.path());
        supervisor.start(&sleeper(true)).unwrap();
        let leader = supervisor.pid("sleeper").unwrap().unwrap();
        wait_until("two processes", Duration::from_secs(5), || Ok(group_of(leader)?.len() == 2)).unwrap();
        supervisor.crash("sleeper").unwrap();
        assert_eq!(supervisor.pid("sleeper").unwrap(), Some(leader));
        supervisor.forget("sleeper").unwrap();
        assert!(group_of(leader).unwrap().is_empty() && supervisor.names().unwrap().is_empty());
    }
}
