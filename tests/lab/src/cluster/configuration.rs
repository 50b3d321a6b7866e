//! The configuration files of a cluster's parts, as text.

use std::path::Path;

use serde_json::{Value, json};

use crate::network::Addresses;

/// Objects whose requests and answers the audit log keeps whole; of the rest it keeps who did what when.
pub(crate) fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
        "omitStages": ["RequestReceived"], "omitManagedFields": true,
        "rules": [
            {"level": "None", "resources": [
                {"group": "", "resources": ["events"]}, {"group": "events.k8s.io"}, {"group": "coordination.k8s.io"}]},
            {"level": "RequestResponse", "resources": [
                {"group": "snapshot.storage.k8s.io"}, {"group": "groupsnapshot.storage.k8s.io"},
                {"group": "datamover.oadp.openshift.io"}, {"group": "longshore.dev"},
                {"group": "", "resources": ["persistentvolumeclaims", "persistentvolumeclaims/status"]},
                {"group": "batch", "resources": ["jobs", "jobs/status"]}]},
            {"level": "Metadata"},
        ],
    })
}

/// The network of pods. The data folder is ours, so that a removed cluster leaves no addresses behind.
pub(crate) fn pod_network(name: &str, addresses: &Addresses, data: &Path) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": name,
        "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
             "ipam": {"type": "host-local", "dataDir": data, "ranges": [[{"subnet": addresses.pods}]],
                      "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

/// containerd's own file. `restrict_oom_score_adj`: the lab may lack CAP_SYS_RESOURCE, and then no sandbox would start without it.
pub(crate) fn containerd(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{folder}/containerd.sock"
[ttrpc]
address = "{folder}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:dev"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = "{folder}/runc"
"#
    )
}

/// What the kubelet needs to know about its node.
pub(crate) struct KubeletSettings<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) certificates: &'a Path,
    pub(crate) containerd_socket: &'a Path,
    pub(crate) control_group: &'a str,
    pub(crate) address: &'a str,
}

/// The kubelet's file. Eviction and image collection are for machines that are full; this one is the developer's own.
pub(crate) fn kubelet(settings: &KubeletSettings<'_>) -> Value {
    let KubeletSettings { folder, certificates, containerd_socket, control_group, address } = settings;
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": address,
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true},
                           "x509": {"clientCAFile": certificates.join("ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": certificates.join("kubelet.crt"), "tlsPrivateKeyFile": certificates.join("kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", containerd_socket.display()),
        "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{control_group}"), "failCgroupV1": false,
        "failSwapOn": false, "localStorageCapacityIsolation": false, "resolvConf": "",
        "podLogsDir": folder.join("pod-logs"), "volumePluginDir": folder.join("volume-plugins"),
        "imageGCHighThresholdPercent": 100, "imageMaximumGCAge": "0s",
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%",
                         "imagefs.available": "1%", "imagefs.inodesFree": "1%"},
        "serializeImagePulls": false, "registerNode": true, "maxPods": 110, "healthzPort": 0,
        "shutdownGracePeriod": "0s", "eventRecordQPS": 0, "oomScoreAdj": 0,
    })
}

/// kube-proxy's file. The conntrack limits belong to the host and are left alone.
pub(crate) fn kube_proxy(kubeconfig: &Path, addresses: &Addresses, node: &str) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig}, "mode": "iptables", "clusterCIDR": addresses.pods,
        "hostnameOverride": node, "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    })
}
