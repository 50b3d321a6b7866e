//! A driver process on a pool of its own, and short ways to call it.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use longshore_lab_csi::pool;
use longshore_lab_csi::proto::csi_v1::controller_client::ControllerClient;
use longshore_lab_csi::proto::csi_v1::node_client::NodeClient;
use longshore_lab_csi::proto::csi_v1::volume_capability::{
    AccessMode, AccessType, BlockVolume, MountVolume, access_mode::Mode,
};
use longshore_lab_csi::proto::csi_v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use longshore_lab_csi::proto::csi_v1::*;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

pub const MIB: i64 = 1 << 20;
const LOCK: &str = "lock";
const PREFIX: &str = "longshore-lab-csi-test-";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder with a pool; everything in it is unmounted and deleted at the end, also what a killed test run left.
pub struct Bench {
    pub folder: PathBuf,
    _lock: fs::File,
}

impl Bench {
    pub fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests mount file systems and need root");
        sweep();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let lock = fs::File::create(folder.join("lock.new")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        fs::rename(folder.join("lock.new"), folder.join(LOCK)).unwrap();
        let bench = Self { folder: folder.canonicalize().unwrap(), _lock: lock };
        pool::up(&bench.state(), 8 << 30).unwrap();
        bench
    }

    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Starts a driver and waits until it answers.
    pub async fn driver(&self, name: &str, options: &[&str]) -> TestDriver {
        let socket = self.folder.join(format!("{name}.sock"));
        let log = self.folder.join(format!("{name}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_longshore-lab-csi"))
            .args(["serve", "--driver-name", name, "--node-id", name])
            .args(["--endpoint", &format!("unix://{}", socket.display())])
            .arg("--state-dir")
            .arg(self.state())
            .arg("--log-file")
            .arg(&log)
            .arg("--faults-file")
            .arg(self.folder.join("faults.json"))
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut driver = TestDriver { child, channel: connect(&socket), socket, log };
        driver.wait_until_ready().await;
        driver
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let cleaned = clean(&self.folder);
        // A test that failed already says why; a second panic would hide it.
        assert!(std::thread::panicking() || cleaned.is_ok(), "{cleaned:?}");
    }
}

fn clean(folder: &Path) -> anyhow::Result<()> {
    // `down` also unmounts what the test published and staged; only then is deleting the folder harmless.
    pool::down(&folder.join("state"))?;
    Ok(fs::remove_dir_all(folder)?)
}

/// Cleans up after test processes that no longer exist: nobody holds the lock in their folders.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Without a lock file it is just being made.
        let Ok(lock) = fs::File::open(entry.path().join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            clean(&entry.path()).unwrap();
        }
    }
}

fn connect(socket: &Path) -> Channel {
    Endpoint::try_from(format!("unix://{}", socket.display())).unwrap().connect_lazy()
}

/// A running driver; killed when dropped.
pub struct TestDriver {
    child: Child,
    channel: Channel,
    pub socket: PathBuf,
    pub log: PathBuf,
}

impl Drop for TestDriver {
    fn drop(&mut self) {
        self.kill();
    }
}

impl TestDriver {
    /// SIGKILL, and waits until it is dead.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// SIGTERM, and waits for a clean end.
    pub async fn stop(&mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        assert!(self.ended().await.success());
    }

    /// Waits for the driver to end by itself. The thread stays free to notice that connections close.
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the driver does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let is_socket = fs::metadata(&self.socket).is_ok_and(|found| found.file_type().is_socket());
            if is_socket && self.node().node_get_info(NodeGetInfoRequest {}).await.is_ok() {
                return;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the driver ended before it served");
            assert!(Instant::now() < deadline, "the driver does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn controller(&self) -> ControllerClient<Channel> {
        ControllerClient::new(self.channel.clone())
    }

    pub fn node(&self) -> NodeClient<Channel> {
        NodeClient::new(self.channel.clone())
    }

    pub async fn create(&self, request: CreateVolumeRequest) -> Result<Volume, Status> {
        Ok(self.controller().create_volume(request).await?.into_inner().volume.unwrap())
    }

    pub async fn delete(&self, volume: &Volume) -> Result<(), Status> {
        let request = DeleteVolumeRequest { volume_id: volume.volume_id.clone(), ..Default::default() };
        self.controller().delete_volume(request).await.map(drop)
    }

    pub async fn snapshot(&self, name: &str, volume: &Volume) -> Result<Snapshot, Status> {
        let request = CreateSnapshotRequest {
            name: name.to_owned(),
            source_volume_id: volume.volume_id.clone(),
            ..Default::default()
        };
        Ok(self.controller().create_snapshot(request).await?.into_inner().snapshot.unwrap())
    }

    pub async fn stage(
        &self,
        volume: &Volume,
        path: &str,
        capability: &VolumeCapability,
    ) -> Result<(), Status> {
        stage(self.node(), volume, path, capability).await
    }

    pub async fn publish(
        &self,
        volume: &Volume,
        staging: &str,
        target: &str,
        capability: &VolumeCapability,
    ) -> Result<(), Status> {
        let request = NodePublishVolumeRequest {
            volume_id: volume.volume_id.clone(),
            staging_target_path: staging.to_owned(),
            target_path: target.to_owned(),
            volume_capability: Some(capability.clone()),
            ..Default::default()
        };
        self.node().node_publish_volume(request).await.map(drop)
    }

    pub async fn unpublish(&self, volume: &Volume, target: &str) -> Result<(), Status> {
        let request = NodeUnpublishVolumeRequest {
            volume_id: volume.volume_id.clone(),
            target_path: target.to_owned(),
        };
        self.node().node_unpublish_volume(request).await.map(drop)
    }

    pub async fn unstage(&self, volume: &Volume, path: &str) -> Result<(), Status> {
        let request = NodeUnstageVolumeRequest {
            volume_id: volume.volume_id.clone(),
            staging_target_path: path.to_owned(),
        };
        self.node().node_unstage_volume(request).await.map(drop)
    }

    /// The lines of the call log about `method`.
    pub fn logged(&self, method: &str) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["method"] == method).collect()
    }
}

pub async fn stage(
    mut node: NodeClient<Channel>,
    volume: &Volume,
    path: &str,
    capability: &VolumeCapability,
) -> Result<(), Status> {
    let request = NodeStageVolumeRequest {
        volume_id: volume.volume_id.clone(),
        staging_target_path: path.to_owned(),
        volume_capability: Some(capability.clone()),
        ..Default::default()
    };
    node.node_stage_volume(request).await.map(drop)
}

pub fn filesystem(fs_type: &str) -> VolumeCapability {
    with_mode(
        AccessType::Mount(MountVolume { fs_type: fs_type.to_owned(), ..Default::default() }),
        Mode::SingleNodeWriter,
    )
}

pub fn block() -> VolumeCapability {
    with_mode(AccessType::Block(BlockVolume {}), Mode::SingleNodeWriter)
}

pub fn with_mode(access_type: AccessType, mode: Mode) -> VolumeCapability {
    VolumeCapability { access_mode: Some(AccessMode { mode: mode.into() }), access_type: Some(access_type) }
}

pub fn in_mode(mut capability: VolumeCapability, mode: Mode) -> VolumeCapability {
    capability.access_mode = Some(AccessMode { mode: mode.into() });
    capability
}

pub fn volume(name: &str, bytes: i64, capability: &VolumeCapability) -> CreateVolumeRequest {
    CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
        volume_capabilities: vec![capability.clone()],
        ..Default::default()
    }
}

pub fn from_snapshot(mut request: CreateVolumeRequest, snapshot: &Snapshot) -> CreateVolumeRequest {
    let source = SnapshotSource { snapshot_id: snapshot.snapshot_id.clone() };
    request.volume_content_source = Some(VolumeContentSource { r#type: Some(Type::Snapshot(source)) });
    request
}

pub fn from_volume(mut request: CreateVolumeRequest, origin: &Volume) -> CreateVolumeRequest {
    let source = VolumeSource { volume_id: origin.volume_id.clone() };
    request.volume_content_source = Some(VolumeContentSource { r#type: Some(Type::Volume(source)) });
    request
}
