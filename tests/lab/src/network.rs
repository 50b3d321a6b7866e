//! The network: one bridge on the host, one network namespace per cluster node behind it. Clusters reach each other, the host and MinIO
//! over the bridge; the host needs no forwarding for it.

use std::path::Path;

use anyhow::Result;

use crate::cluster::ClusterName;
use crate::shell::{run, succeeds};
use crate::sweep;

/// The host's end, where MinIO listens.
pub const HOST_ADDRESS: &str = "10.199.0.1";
const BRIDGE: &str = "lsbr0";

/// The addresses and names of one node of a cluster.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Network namespace.
    pub namespace: String,
    /// The node's address.
    pub node: String,
    /// The node's pods, a /24.
    pub pods: String,
    /// The cluster's services, a /24.
    pub services: String,
    /// The API server's service address.
    pub api_service: String,
    veth: String,
    hardware: String,
}

/// Always the same for the same node: neighbours remember it for a minute after a cluster was made anew.
fn hardware_address(number: u8) -> String {
    format!("02:4c:53:00:00:{number:02x}")
}

impl Addresses {
    /// Each cluster has a number; nodes of a cluster have theirs below it.
    pub fn of(cluster: ClusterName, node: u8) -> Self {
        let number = cluster.number();
        Self {
            namespace: format!("ls-{cluster}{node}"),
            node: format!("10.199.0.{}", number * 10 + node),
            pods: format!("10.200.{}.0/24", number * 10 + node),
            services: format!("10.201.{number}.0/24"),
            api_service: format!("10.201.{number}.1"),
            veth: format!("lsv-{cluster}{node}"),
            hardware: hardware_address(number * 10 + node),
        }
    }
}

/// Makes the bridge if it is not there.
pub(crate) fn ensure_bridge() -> Result<()> {
    if !Path::new("/sys/class/net").join(BRIDGE).exists() {
        // Another thread may be faster.
        succeeds("ip", &["link", "add", BRIDGE, "address", &hardware_address(0), "type", "bridge"]);
    }
    succeeds("ip", &["address", "add", &format!("{HOST_ADDRESS}/24"), "dev", BRIDGE]);
    run("ip", &["link", "set", BRIDGE, "up"])?;
    Ok(())
}

/// Removes the bridge.
pub(crate) fn remove_bridge() -> Result<()> {
    if Path::new("/sys/class/net").join(BRIDGE).exists() {
        run("ip", &["link", "delete", BRIDGE])?;
    }
    Ok(())
}

/// Makes a node's network namespace and links it to the bridge. What an earlier run left of it must be gone.
pub(crate) fn create(addresses: &Addresses) -> Result<()> {
    let Addresses { namespace, node, pods, services, veth, hardware, .. } = addresses;
    ensure_bridge()?;
    run("ip", &["netns", "add", namespace])?;
    let peer = ["peer", "name", "eth0", "address", hardware, "netns", namespace];
    run("ip", &[&["link", "add", veth, "type", "veth"], peer.as_slice()].concat())?;
    run("ip", &["link", "set", veth, "master", BRIDGE, "up"])?;
    let inside = |words: &[&str]| run("ip", &[&["-netns", namespace], words].concat());
    inside(&["link", "set", "lo", "up"])?;
    inside(&["address", "add", &format!("{node}/24"), "dev", "eth0"])?;
    inside(&["link", "set", "eth0", "up"])?;
    inside(&["route", "add", "default", "via", HOST_ADDRESS])?;
    let path = format!("--net=/run/netns/{namespace}");
    run("nsenter", &[&path, "sysctl", "-qw", "net.ipv4.ip_forward=1"])?;
    for network in [pods, services] {
        run("ip", &["route", "replace", network, "via", node])?;
    }
    Ok(())
}

/// Removes a node's network namespace and its link.
pub(crate) fn remove(addresses: &Addresses) -> Result<()> {
    sweep::delete_network_namespace(&addresses.namespace)?;
    // A process that lingers in the namespace keeps it alive, and with it the link.
    if Path::new("/sys/class/net").join(&addresses.veth).exists() {
        succeeds("ip", &["link", "delete", &addresses.veth]);
    }
    for network in [&addresses.pods, &addresses.services] {
        succeeds("ip", &["route", "delete", network]);
    }
    Ok(())
}

/// What is there of a node's network, and of the bridge.
pub(crate) fn leftovers(addresses: &Addresses) -> Vec<String> {
    let interface = |name: &str| Path::new("/sys/class/net").join(name);
    let namespace = Path::new("/run/netns").join(&addresses.namespace);
    let candidates = [namespace, interface(&addresses.veth), interface(BRIDGE)];
    candidates.iter().filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}
