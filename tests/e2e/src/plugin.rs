//! `kubectl longshore`, found and started by the real kubectl.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::installation::Site;

/// kubectl with the plugin on its path, in one namespace of one cluster.
pub struct Plugin<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    /// Holds the plugin under the name that kubectl looks for.
    folder: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its result.
    pub out: String,
    /// Its progress, hints and errors.
    pub err: String,
}

impl<'a> Plugin<'a> {
    /// Gives the program of this checkout the plugin's name.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn install(site: &Site, cluster: &'a Cluster, namespace: &'a str) -> Result<Self> {
        let folder = env::temp_dir().join(format!("longshore-e2e-plugin-{}-{namespace}", std::process::id()));
        fs::create_dir_all(&folder)?;
        symlink(&site.longshore, folder.join("kubectl-longshore")).context("could not name the plugin")?;
        Ok(Self { cluster, namespace, folder })
    }

    /// Runs `kubectl longshore` with these arguments.
    ///
    /// # Errors
    /// When kubectl cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<Ended> {
        let mut path = vec![self.folder.clone()];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let mut command = self.cluster.lab.kubectl_command();
        command.env("PATH", env::join_paths(path)?);
        command.arg("longshore").args(arguments).args(["--namespace", self.namespace]);
        let output = command.output().context("could not start kubectl")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
    }

    /// Runs a command that must succeed, and returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn ok(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.run(arguments)?;
        ensure!(ended.code == Some(0), "kubectl longshore {}: {ended:?}", arguments.join(" "));
        Ok(ended.out)
    }

    /// The same with `-o json`.
    ///
    /// # Errors
    /// When it fails, or prints something else.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.ok(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
    }

    /// Runs a command that must fail with an exit code.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub fn fails(&self, code: i32, arguments: &[&str]) -> Result<Ended> {
        let ended = self.run(arguments)?;
        ensure!(ended.code == Some(code), "kubectl longshore {}: {ended:?}", arguments.join(" "));
        Ok(ended)
    }
}

impl Drop for Plugin<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
