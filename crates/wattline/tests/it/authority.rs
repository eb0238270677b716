//! An authority of a test's own, and the certificates that it signs.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key in PEM.
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    pub fn sign(&self, names: &[&str]) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    /// Puts the authority's own certificate into a file.
    pub fn write(&self, file: PathBuf) -> String {
        write(&file, &self.pem)
    }
}

impl Signed {
    /// Puts both into files of the folder, by the name of whose they are.
    pub fn write(&self, folder: &Path, name: &str) -> [String; 2] {
        let certificate = write(&folder.join(format!("{name}.crt")), &self.certificate);
        [certificate, write(&folder.join(format!("{name}.key")), &self.key)]
    }
}

fn write(file: &Path, text: &str) -> String {
    fs::write(file, text).expect("a file");
    file.to_str().expect("a path in UTF-8").to_owned()
}
