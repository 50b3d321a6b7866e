//! The processes of a cluster and how each is started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Cluster;
use crate::gobuild::Programs;
use crate::process::Spec;

impl Cluster {
    fn spec(&self, name: &str, program: PathBuf, arguments: Vec<String>) -> Spec {
        Spec {
            name: name.to_owned(),
            program,
            arguments,
            environment: BTreeMap::new(),
            network: Some(self.addresses.namespace.clone()),
            respawn: false,
        }
    }

    pub(super) fn etcd(&self) -> Spec {
        let arguments = [
            "--name=lab".to_owned(),
            format!("--data-dir={}", self.folder.join("etcd").display()),
            "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
            "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
            "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-cluster=lab=http://127.0.0.1:2380".to_owned(),
            // A lab's state dies with the machine.
            "--unsafe-no-fsync".to_owned(),
            "--logger=zap".to_owned(),
            "--log-outputs=stderr".to_owned(),
        ];
        self.spec("etcd", PathBuf::from("/usr/bin/etcd"), arguments.to_vec())
    }

    pub(super) fn containerd(&self) -> Spec {
        let config = self.folder.join("containerd/config.toml");
        let arguments = vec![format!("--config={}", config.display())];
        self.spec("containerd", PathBuf::from("/usr/bin/containerd"), arguments)
    }

    pub(super) fn apiserver(&self, programs: &Programs) -> Spec {
        let pki = self.folder.join("pki");
        let pki = pki.display();
        let arguments = vec![
            "--etcd-servers=http://127.0.0.1:2379".to_owned(),
            "--secure-port=6443".to_owned(),
            format!("--advertise-address={}", self.addresses.node),
            format!("--service-cluster-ip-range={}", self.addresses.services),
            format!("--client-ca-file={pki}/ca.crt"),
            format!("--tls-cert-file={pki}/apiserver.crt"),
            format!("--tls-private-key-file={pki}/apiserver.key"),
            format!("--kubelet-certificate-authority={pki}/ca.crt"),
            format!("--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt"),
            format!("--kubelet-client-key={pki}/apiserver-kubelet-client.key"),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={pki}/service-accounts.pub"),
            format!("--service-account-signing-key-file={pki}/service-accounts.key"),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            format!("--audit-policy-file={}", self.folder.join("audit-policy.json").display()),
            format!("--audit-log-path={}", self.audit_log().display()),
            // In megabytes: tests read the whole log, so it must not rotate.
            "--audit-log-maxsize=100000".to_owned(),
            "--profiling=false".to_owned(),
            "--v=1".to_owned(),
        ];
        self.spec("kube-apiserver", programs.kubernetes("kube-apiserver"), arguments)
    }

    pub(super) fn controller_manager(&self, programs: &Programs) -> Spec {
        let pki = self.folder.join("pki");
        let pki = pki.display();
        let arguments = vec![
            format!("--kubeconfig={pki}/kube-controller-manager.kubeconfig"),
            format!("--service-account-private-key-file={pki}/service-accounts.key"),
            format!("--root-ca-file={pki}/ca.crt"),
            "--use-service-account-credentials=true".to_owned(),
            "--leader-elect=false".to_owned(),
            "--profiling=false".to_owned(),
            "--v=1".to_owned(),
        ];
        self.spec("kube-controller-manager", programs.kubernetes("kube-controller-manager"), arguments)
    }

    pub(super) fn scheduler(&self, programs: &Programs) -> Spec {
        let arguments = vec![
            format!("--kubeconfig={}", self.kubeconfig_of("kube-scheduler").display()),
            "--leader-elect=false".to_owned(),
            "--profiling=false".to_owned(),
            "--v=1".to_owned(),
        ];
        self.spec("kube-scheduler", programs.kubernetes("kube-scheduler"), arguments)
    }

    pub(super) fn kubelet(&self, programs: &Programs) -> Spec {
        let arguments = vec![
            format!("--config={}", self.folder.join("kubelet.json").display()),
            format!("--kubeconfig={}", self.kubeconfig_of("kubelet").display()),
            format!("--root-dir={}", self.kubelet_folder().display()),
            format!("--cert-dir={}", self.folder.join("pki").display()),
            format!("--hostname-override={}", self.node_name()),
            format!("--node-ip={}", self.addresses.node),
            "--v=2".to_owned(),
        ];
        self.spec("kubelet", programs.kubernetes("kubelet"), arguments)
    }

    pub(super) fn proxy(&self, programs: &Programs) -> Spec {
        let arguments =
            vec![format!("--config={}", self.folder.join("kube-proxy.json").display()), "--v=1".to_owned()];
        self.spec("kube-proxy", programs.kubernetes("kube-proxy"), arguments)
    }

    pub(super) fn snapshot_controller(&self, programs: &Programs) -> Spec {
        let arguments = vec![
            format!("--kubeconfig={}", self.kubeconfig_of("snapshot-controller").display()),
            "--leader-election=false".to_owned(),
            "--v=4".to_owned(),
        ];
        self.spec("snapshot-controller", programs.sidecar("snapshot-controller"), arguments)
    }

    /// csi-provisioner and csi-snapshotter of one driver instance.
    pub(crate) fn driver_sidecar(
        &self,
        programs: &Programs,
        sidecar: &str,
        driver: &str,
        process: &str,
    ) -> Spec {
        let socket = self.kubelet_folder().join("plugins").join(driver).join("csi.sock");
        let mut arguments = vec![
            format!("--csi-address={}", socket.display()),
            format!("--kubeconfig={}", self.kubeconfig_of(sidecar).display()),
            "--leader-election=false".to_owned(),
            "--extra-create-metadata=true".to_owned(),
            "--timeout=60s".to_owned(),
            "--v=4".to_owned(),
        ];
        if sidecar == "csi-provisioner" {
            // A lab of one node has no topology, and a retried call should not wait for minutes.
            arguments.push("--feature-gates=Topology=false".to_owned());
        }
        arguments.push("--retry-interval-max=20s".to_owned());
        // A sidecar ends when it loses its driver, and relies on being started again.
        Spec { respawn: true, ..self.spec(process, programs.sidecar(sidecar), arguments) }
    }

    /// A process of this cluster that lives in its network.
    pub(crate) fn process(&self, name: &str, program: PathBuf, arguments: Vec<String>) -> Spec {
        self.spec(name, program, arguments)
    }
}
