//! The lab as a whole: up, down, status.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use crate::cluster::{Cluster, ClusterName};
use crate::driver::{DriverOptions, build_driver};
use crate::gobuild::{self, Programs};
use crate::hash::sha256_hex;
use crate::image::{self, Image};
use crate::minio::Minio;
use crate::paths::Paths;
use crate::report::Reporter;
use crate::shell::{run, wait_until};
use crate::velero::VeleroPrograms;
use crate::{cargo, host, network, packages, sweep};

const LOCK: Duration = Duration::from_secs(120);

/// What `up` shall bring.
#[derive(Clone, Debug)]
pub struct Options {
    /// Driver instances of each cluster.
    pub drivers: Vec<DriverOptions>,
    /// Whether the image `localhost/longshore:dev` is built and put on the nodes.
    pub longshore_image: bool,
    /// Tear down also a cluster that is healthy, and begin anew.
    pub recreate: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { drivers: vec![DriverOptions::default()], longshore_image: true, recreate: false }
    }
}

/// The lab on this machine. There is one; a lock keeps two programs from changing it at once.
#[derive(Clone, Debug)]
pub struct Lab {
    paths: Paths,
    programs: Programs,
}

impl Lab {
    /// Installs Debian packages and builds the foreign programs if they are missing. Starts nothing.
    pub fn open(reporter: &dyn Reporter) -> Result<Self> {
        let paths = Paths::from_environment()?;
        packages::install(reporter)?;
        let programs = Programs::build(&paths, reporter)?;
        Ok(Self { paths, programs })
    }

    /// A handle for looking and for removing: it installs and builds nothing.
    pub fn inspect() -> Result<Self> {
        let paths = Paths::from_environment()?;
        Ok(Self { programs: Programs::cached(&paths), paths })
    }

    /// Brings up MinIO and these clusters. Clusters that are healthy stay as they are (unless `recreate`); whatever else an earlier run
    /// left of them is removed first. MinIO keeps what it holds.
    pub fn up(&self, names: &[ClusterName], options: &Options, reporter: &dyn Reporter) -> Result<()> {
        let mut archives = vec![self.pause_archive()?, self.workload_archive()?];
        if options.longshore_image {
            archives.push(self.longshore_archive(reporter)?);
        }
        let driver = if options.drivers.is_empty() { None } else { Some(build_driver(reporter)?) };
        reporter.line("images and programs are ready");
        let _lock = self.lock()?;
        host::prepare(&self.paths)?;
        self.minio().start()?;
        reporter.line("MinIO is ready");
        thread::scope(|scope| {
            let threads: Vec<_> = names
                .iter()
                .map(|name| {
                    scope.spawn(|| self.up_one(*name, &archives, driver.as_deref(), options, reporter))
                })
                .collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
        })
    }

    fn up_one(
        &self,
        name: ClusterName,
        archives: &[PathBuf],
        driver: Option<&Path>,
        options: &Options,
        reporter: &dyn Reporter,
    ) -> Result<()> {
        let cluster = self.cluster(name);
        if !options.recreate && cluster.exists() && cluster.is_healthy() {
            reporter.line(&format!("{name}: is up already"));
            archives.iter().try_for_each(|archive| cluster.load_image(archive))?;
        } else {
            if cluster.exists() {
                reporter.line(&format!("{name}: removing what an earlier run left"));
            }
            cluster.destroy()?;
            cluster.create(archives, reporter).with_context(|| format!("{name} did not come up"))?;
        }
        for instance in &options.drivers {
            let program = driver.context("the driver was not built")?.to_path_buf();
            let started = cluster.start_driver_from(program, instance, reporter);
            started.with_context(|| format!("driver {} on {name}", instance.name))?;
        }
        reporter.line(&format!("{name}: ready; kubeconfig {}", cluster.kubeconfig().display()));
        Ok(())
    }

    /// Ends the whole lab and leaves nothing of it but the caches.
    pub fn down(&self, reporter: &dyn Reporter) -> Result<()> {
        let _lock = self.lock()?;
        remove_everything(&self.paths, &ClusterName::ALL.map(|name| self.cluster(name)))?;
        reporter.line("the lab is down");
        Ok(())
    }

    /// Ends one cluster as a disaster would, with its driver's volumes and snapshots. MinIO and the other cluster stay.
    pub fn destroy_cluster_and_driver_state(&self, name: ClusterName) -> Result<()> {
        let _lock = self.lock()?;
        self.cluster(name).destroy()
    }

    /// What of the lab is on this machine beside the caches, one line each; nothing after `down`.
    pub fn leftovers(&self) -> Result<Vec<String>> {
        let mut found = sweep::leftovers(self.paths.state())?;
        for name in ClusterName::ALL {
            let cluster = self.cluster(name);
            found.extend(network::leftovers(&cluster.addresses));
            let groups = sweep::control_groups(&cluster.control_group());
            found.extend(
                groups.iter().filter(|group| group.exists()).map(|group| group.display().to_string()),
            );
        }
        Ok(found)
    }

    /// A cluster's handle, whether the cluster is up or not.
    pub fn cluster(&self, name: ClusterName) -> Cluster {
        Cluster::new(name, &self.paths, &self.programs)
    }

    /// The object store's handle.
    pub fn minio(&self) -> Minio {
        Minio::plain(&self.paths, &self.programs)
    }

    /// Starts a second object store, which speaks TLS with an authority that nobody knows.
    pub fn start_minio_tls(&self) -> Result<Minio> {
        let minio = Minio::tls(&self.paths, &self.programs);
        minio.start()?;
        Ok(minio)
    }

    /// The kubectl of the lab's Kubernetes version.
    pub fn kubectl(&self) -> PathBuf {
        self.programs.kubernetes("kubectl")
    }

    /// Helm, built on first use.
    pub fn helm(&self, reporter: &dyn Reporter) -> Result<PathBuf> {
        gobuild::helm(&self.paths, reporter)
    }

    /// Velero's programs, built on first use.
    pub fn velero(&self, reporter: &dyn Reporter) -> Result<VeleroPrograms> {
        let [server, aws_plugin] = gobuild::velero(&self.paths, reporter)?;
        Ok(VeleroPrograms { server, aws_plugin })
    }

    /// Where state and caches are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Archive of `localhost/longshore:dev`, built from the checkout as it is now. Give it to `Cluster::load_image`.
    pub fn longshore_archive(&self, reporter: &dyn Reporter) -> Result<PathBuf> {
        let wanted = [
            ("longshore-cli", "longshore"),
            ("longshore-operator", "longshore-operator"),
            ("longshore-velero-plugin", "longshore-velero-plugin"),
        ];
        let built = cargo::build_for_image(&wanted, reporter)?;
        let mut programs = BTreeMap::new();
        for ((_, binary), path) in wanted.into_iter().zip(built) {
            programs.insert(format!("/usr/local/bin/{binary}"), self.stripped(&path)?);
        }
        self.archive(&image::longshore(programs))
    }

    fn workload_archive(&self) -> Result<PathBuf> {
        self.archive(&image::workload()?)
    }

    fn pause_archive(&self) -> Result<PathBuf> {
        self.archive(&image::pause(self.programs.pause()))
    }

    /// The image's archive, made anew only when a program in it changed.
    fn archive(&self, image: &Image) -> Result<PathBuf> {
        let folder = self.paths.cache().join("images");
        fs::create_dir_all(&folder)?;
        let mut text = format!("1 {image:?}");
        for program in image.programs.values() {
            let data = fs::metadata(program)?;
            text.push_str(&format!("\n{} {} {:?}", program.display(), data.len(), data.modified()?));
        }
        let short = image.name.rsplit('/').next().unwrap_or_default().replace(':', "-");
        let target = folder.join(format!("{short}-{}.tar", &sha256_hex(text.as_bytes())[..16]));
        if !target.exists() {
            image.write_archive(&target)?;
            remove_others(&folder, &short, &target);
        }
        Ok(target)
    }

    /// A copy without debug information, named by the program's size and time: images are imported often.
    fn stripped(&self, program: &Path) -> Result<PathBuf> {
        let folder = self.paths.cache().join("stripped");
        fs::create_dir_all(&folder)?;
        let data = fs::metadata(program)?;
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = format!("{} {} {:?}", program.display(), data.len(), data.modified()?);
        let target = folder.join(format!("{name}-{}", &sha256_hex(text.as_bytes())[..16]));
        if !target.exists() {
            let half = folder.join(format!(".{name}-{}", std::process::id()));
            run("strip", &["-o".as_ref(), half.as_os_str(), program.as_os_str()])?;
            fs::rename(&half, &target)?;
            remove_others(&folder, &name, &target);
        }
        Ok(target)
    }

    /// Keeps others from bringing the lab up or down, as long as the file is held.
    ///
    /// # Errors
    /// When somebody is doing so.
    pub fn lock(&self) -> Result<File> {
        lock(&self.paths)
    }
}

/// Removes a lab without needing any of its programs: for `down` on a machine where the cache is gone.
pub fn remove_lab(reporter: &dyn Reporter) -> Result<()> {
    Lab::inspect()?.down(reporter)
}

fn remove_everything(paths: &Paths, clusters: &[Cluster]) -> Result<()> {
    let state = paths.state();
    sweep::marked_processes(state, state)?;
    clusters.iter().try_for_each(Cluster::destroy)?;
    sweep::release_storage(state)?;
    network::remove_bridge()?;
    host::restore(paths)?;
    sweep::remove_folder(state)
}

/// Waits for another program that is changing the lab, but not for ever.
fn lock(paths: &Paths) -> Result<File> {
    let name = paths.state().to_string_lossy().trim_matches('/').replace('/', "-");
    let path = Path::new("/run/lock").join(format!("{name}.lock"));
    fs::create_dir_all("/run/lock")?;
    let file = File::create(&path)?;
    let what = format!("the end of another program that changes the lab and has locked {}", path.display());
    wait_until(&what, LOCK, || Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()))?;
    Ok(file)
}

/// A dash, the sixteen digits of a hash, and perhaps an extension.
fn is_version(end: &str) -> bool {
    let digits = end.strip_prefix('-').and_then(|end| end.get(..16));
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        && matches!(end.as_bytes().get(17), None | Some(b'.'))
}

/// Older versions of a cached file, and halves of them.
fn remove_others(folder: &Path, start: &str, keep: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(start).is_some_and(is_version) && entry.path() != keep {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_version;

    #[test]
    fn another_programs_cache_is_not_an_older_version() {
        assert!(is_version("-0123456789abcdef"));
        assert!(is_version("-0123456789abcdef.tar"));
        assert!(is_version("-0123456789abcdef.half-17"));
        assert!(!is_version("-operator-0123456789abcdef"));
        assert!(!is_version(""));
    }
}
