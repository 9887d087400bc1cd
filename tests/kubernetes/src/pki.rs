use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The certificates and keys of one cluster, as files in its directory: `ca`, `api` (the server),
/// `api-kubelet` (the server as a client of kubelets), `sa` (signs ServiceAccount tokens). P-256
/// throughout, since RSA keys take longer to make than the API server to start.
pub(crate) fn make(dir: &Path, addresses: &[String]) -> Result<()> {
    let days = ["-days", "30"];
    openssl(dir, &[&["req", "-x509"], &NEW_KEY[..], &days, &words(CA)].concat())?;
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
    let names = names.iter().map(|name| format!("DNS:{name}"));
    let names = names.chain(addresses.iter().map(|address| format!("IP:{address}")));
    let names: Vec<_> = names.collect();
    sign(dir, "api", "/CN=kube-apiserver", &names.join(","))?;
    sign(dir, "api-kubelet", "/O=system:masters/CN=apiserver", "DNS:apiserver")?;
    openssl(dir, &words("ecparam -name prime256v1 -genkey -noout -out sa.key"))?;
    openssl(dir, &words("ec -in sa.key -pubout -out sa.pub"))
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
const CA: &str = "-keyout ca.key -out ca.crt -subj /CN=ca";

/// A key and a certificate signed by the CA, `NAME.key` and `NAME.crt`.
fn sign(dir: &Path, name: &str, subject: &str, alternative: &str) -> Result<()> {
    let (key, csr, crt) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
    let extensions = format!("{name}.ext");
    std::fs::write(dir.join(&extensions), format!("subjectAltName={alternative}\n"))?;
    let request = ["-keyout", &key, "-out", &csr, "-subj", subject];
    openssl(dir, &[&["req"], &NEW_KEY[..], &request].concat())?;
    let with = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30"];
    let files = ["-in", &csr, "-out", &crt, "-extfile", &extensions];
    openssl(dir, &[&["x509", "-req"], &with[..], &files].concat())
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn openssl(dir: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("openssl");
    let output = command.args(arguments).current_dir(dir).stdin(Stdio::null()).output();
    let output =
        output.context("cannot run openssl: install it with `tests/setup.sh kubernetes`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {}: {said}", arguments.join(" "));
    Ok(())
}
