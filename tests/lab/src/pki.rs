//! Certificates of a cluster: one authority, one certificate per part, and the kubeconfig files that hold them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

/// A certificate authority that lives as long as this value; what it signed stays valid.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate and its key, both PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a client and, when it has `names` (DNS or addresses), for a server.
    pub(crate) fn sign(&self, user: &str, group: Option<&str>, names: &[&str]) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

/// The files of a cluster's certificates.
pub(crate) struct ClusterCertificates<'a> {
    pub(crate) folder: &'a Path,
    /// `https://address:port` of the API server.
    pub(crate) server: &'a str,
}

/// Users of the API: file name, user, group. Each part has its own name, so that the audit log tells who did what.
const USERS: &[(&str, &str, &str)] = &[
    ("admin", "lab-admin", "system:masters"),
    ("kube-controller-manager", "system:kube-controller-manager", ""),
    ("kube-scheduler", "system:kube-scheduler", ""),
    ("kube-proxy", "system:kube-proxy", ""),
    ("snapshot-controller", "snapshot-controller", "system:masters"),
    ("csi-snapshotter", "csi-snapshotter", "system:masters"),
    ("csi-provisioner", "csi-provisioner", "system:masters"),
];

impl ClusterCertificates<'_> {
    /// Writes everything anew: `ca.crt`, key pairs of servers, the key of service accounts, and one kubeconfig per user.
    pub(crate) fn create(
        &self,
        cluster: &str,
        node: &str,
        node_address: &str,
        api_service: &str,
    ) -> Result<()> {
        fs::create_dir_all(self.folder)?;
        let authority = Authority::new(&format!("longshore-lab-{cluster}"))?;
        self.write("ca.crt", authority.certificate())?;
        let api_names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
        let api_names = [api_names.as_slice(), &["127.0.0.1", node_address, api_service]].concat();
        self.pair("apiserver", &authority.sign("kube-apiserver", None, &api_names)?)?;
        let client = authority.sign("kube-apiserver-kubelet-client", Some("system:masters"), &[])?;
        self.pair("apiserver-kubelet-client", &client)?;
        let kubelet =
            authority.sign(&format!("system:node:{node}"), Some("system:nodes"), &[node, node_address])?;
        self.pair("kubelet", &kubelet)?;
        self.kubeconfig("kubelet", authority.certificate(), &kubelet)?;
        let accounts = KeyPair::generate()?;
        self.write("service-accounts.key", &accounts.serialize_pem())?;
        self.write("service-accounts.pub", &accounts.public_key_pem())?;
        for (file, user, group) in USERS {
            let identity = authority.sign(user, Some(*group).filter(|group| !group.is_empty()), &[])?;
            self.kubeconfig(file, authority.certificate(), &identity)?;
        }
        Ok(())
    }

    /// The kubeconfig of one user.
    pub(crate) fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.folder.join(format!("{user}.kubeconfig"))
    }

    fn kubeconfig(&self, user: &str, authority: &str, identity: &Identity) -> Result<()> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {
                "server": self.server, "certificate-authority-data": STANDARD.encode(authority)}}],
            "users": [{"name": user, "user": {
                "client-certificate-data": STANDARD.encode(&identity.certificate),
                "client-key-data": STANDARD.encode(&identity.key)}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        });
        self.write(&format!("{user}.kubeconfig"), &serde_json::to_string_pretty(&config)?)
    }

    fn pair(&self, name: &str, identity: &Identity) -> Result<()> {
        self.write(&format!("{name}.crt"), &identity.certificate)?;
        self.write(&format!("{name}.key"), &identity.key)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        write_private(&self.folder.join(name), text)
    }
}

/// Writes a file that only root may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("could not write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
