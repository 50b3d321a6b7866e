//! Foreign programs, built from pinned Go modules into a cache that is addressed by what they are made of.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache;
use crate::hash::sha256_hex;
use crate::paths::Paths;
use crate::report::Reporter;
use crate::shell::output_of;

/// Bump when the way of building changes without a change of the sources.
const RECIPE: &str = "1";
const CLIENT: &str = "github.com/kubernetes-csi/external-snapshotter/client/v8";

/// One folder under `tests/lab/go`.
struct Module {
    folder: &'static str,
    /// File name and Go package of each program.
    programs: &'static [(&'static str, &'static str)],
    /// Further names of the first program, which looks at the name it is called by.
    names: &'static [&'static str],
    linker: &'static str,
}

const KUBERNETES: Module = Module {
    folder: "kubernetes",
    programs: &[("kubernetes", ".")],
    names: &[
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "kubelet",
        "kubectl",
    ],
    linker: "-s -w -X k8s.io/component-base/version.gitVersion=v1.34.4 \
             -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34",
};
const SIDECARS: Module = Module {
    folder: "sidecars",
    programs: &[
        ("snapshot-controller", "github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller"),
        ("csi-snapshotter", "github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter"),
        ("csi-provisioner", "github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner"),
    ],
    names: &[],
    linker: "-s -w",
};
const MINIO: Module =
    Module { folder: "minio", programs: &[("minio", "github.com/minio/minio")], names: &[], linker: "-s -w" };
const HELM: Module =
    Module { folder: "helm", programs: &[("helm", "helm.sh/helm/v3/cmd/helm")], names: &[], linker: "-s -w" };
const PAUSE: Module = Module { folder: "pause", programs: &[("pause", ".")], names: &[], linker: "-s -w" };
const SANITY: Module = Module {
    folder: "csi-sanity",
    programs: &[("csi-sanity", "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity")],
    names: &[],
    linker: "-s -w",
};
/// Server, command line and more in one program.
const VELERO: Module = Module {
    folder: "velero",
    programs: &[("velero", "github.com/vmware-tanzu/velero/cmd/velero")],
    names: &[],
    linker: "-s -w -X github.com/vmware-tanzu/velero/pkg/buildinfo.Version=v1.18.3",
};
const VELERO_AWS: Module = Module {
    folder: "velero-plugin-for-aws",
    programs: &[(
        "velero-plugin-for-aws",
        "github.com/vmware-tanzu/velero-plugin-for-aws/velero-plugin-for-aws",
    )],
    names: &[],
    linker: "-s -w",
};

/// The folders of the built programs.
#[derive(Clone, Debug)]
pub struct Programs {
    kubernetes: PathBuf,
    sidecars: PathBuf,
    minio: PathBuf,
    pause: PathBuf,
}

impl Programs {
    /// Builds what the clusters and MinIO need, unless the cache has it.
    pub fn build(paths: &Paths, reporter: &dyn Reporter) -> Result<Self> {
        Ok(Self {
            kubernetes: build(paths, &KUBERNETES, reporter)?,
            sidecars: build(paths, &SIDECARS, reporter)?,
            minio: build(paths, &MINIO, reporter)?,
            pause: build(paths, &PAUSE, reporter)?,
        })
    }

    /// The programs if they are built, and paths that lead nowhere for those that are not.
    pub(crate) fn cached(paths: &Paths) -> Self {
        let folder = |module| cached(paths, module).unwrap_or_default();
        let [kubernetes, sidecars, minio, pause] = [&KUBERNETES, &SIDECARS, &MINIO, &PAUSE].map(folder);
        Self { kubernetes, sidecars, minio, pause }
    }

    /// A part of Kubernetes, or kubectl.
    pub fn kubernetes(&self, name: &str) -> PathBuf {
        self.kubernetes.join(name)
    }

    /// snapshot-controller, csi-snapshotter or csi-provisioner.
    pub fn sidecar(&self, name: &str) -> PathBuf {
        self.sidecars.join(name)
    }

    /// The files of the snapshot CRDs.
    pub fn snapshot_crds(&self) -> PathBuf {
        self.sidecars.join("crds")
    }

    /// The object store.
    pub fn minio(&self) -> PathBuf {
        self.minio.join("minio")
    }

    pub(crate) fn pause(&self) -> PathBuf {
        self.pause.join("pause")
    }
}

/// MinIO alone, for tests that need an object store and no cluster; built when the cache does not have it.
pub fn minio(paths: &Paths, reporter: &dyn Reporter) -> Result<PathBuf> {
    Ok(build(paths, &MINIO, reporter)?.join("minio"))
}

/// Helm, built when the cache does not have it.
pub fn helm(paths: &Paths, reporter: &dyn Reporter) -> Result<PathBuf> {
    Ok(build(paths, &HELM, reporter)?.join("helm"))
}

/// The public CSI conformance suite, built when the cache does not have it.
pub fn csi_sanity(paths: &Paths, reporter: &dyn Reporter) -> Result<PathBuf> {
    Ok(build(paths, &SANITY, reporter)?.join("csi-sanity"))
}

/// Velero and its plugin for object stores that speak S3, built when the cache does not have them.
pub(crate) fn velero(paths: &Paths, reporter: &dyn Reporter) -> Result<[PathBuf; 2]> {
    let server = build(paths, &VELERO, reporter)?.join("velero");
    Ok([server, build(paths, &VELERO_AWS, reporter)?.join("velero-plugin-for-aws")])
}

fn build(paths: &Paths, module: &Module, reporter: &dyn Reporter) -> Result<PathBuf> {
    let sources = sources(module);
    let key = key(module, &sources)?;
    cache::ensure(&paths.cache().join("bin"), module.folder, &key, reporter, |folder: &Path| {
        for (name, package) in module.programs {
            compile(&sources, &folder.join(name), package, module.linker)?;
            File::open(folder.join(name))?.sync_all()?;
        }
        for name in module.names {
            symlink(module.programs[0].0, folder.join(name))?;
        }
        if module.folder == SIDECARS.folder {
            copy_crds(&sources, &folder.join("crds"))?;
        }
        Ok(())
    })
}

fn sources(module: &Module) -> PathBuf {
    Paths::checkout().join("tests/lab/go").join(module.folder)
}

/// Where the built programs are, if they are.
fn cached(paths: &Paths, module: &Module) -> Result<PathBuf> {
    Ok(paths.cache().join("bin").join(key(module, &sources(module))?))
}

fn compile(sources: &Path, output: &Path, package: &str, linker: &str) -> Result<()> {
    let mut command = go(sources);
    command.args(["build", "-trimpath", "-ldflags", linker, "-o"]).arg(output).arg(package);
    output_of(&mut command).map(drop).with_context(|| format!("could not build {package}"))
}

fn go(sources: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(sources).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly -buildvcs=false");
    command
}

fn copy_crds(sources: &Path, target: &Path) -> Result<()> {
    output_of(go(sources).args(["mod", "download", CLIENT]))?;
    let folder = output_of(go(sources).args(["list", "-m", "-f", "{{.Dir}}", CLIENT]))?;
    fs::create_dir(target)?;
    for entry in fs::read_dir(Path::new(folder.trim()).join("config/crd"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.contains(".storage.k8s.io_") {
            fs::write(target.join(name), fs::read(&path)?)?;
        }
    }
    Ok(())
}

/// What a build depends on: the sources, the Go version, the recipe.
fn key(module: &Module, sources: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(sources)
        .with_context(|| format!("could not read {}", sources.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let version = output_of(Command::new("go").args(["env", "GOVERSION"]).current_dir(sources))
        .context("the lab builds Kubernetes from source and needs Go")?;
    let mut text = format!("{RECIPE}\n{}\n{}\n", version.trim(), module.linker).into_bytes();
    for file in files {
        let content = fs::read(&file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        text.extend_from_slice(format!("{name} {}\n", content.len()).as_bytes());
        text.extend_from_slice(&content);
    }
    Ok(format!("{}-{}", module.folder, &sha256_hex(&text)[..20]))
}
