//! The image `localhost/box:1`: a static busybox, packed without any tool for images.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

/// What the pods of tests run, and what holds their namespaces.
pub const BOX: &str = "localhost/box:1";

/// Every applet that a test may call in a pod.
const APPLETS: [&str; 12] =
    ["sh", "sleep", "nc", "ip", "wget", "httpd", "cat", "echo", "ls", "true", "ping", "kill"];

/// Writes the image as an archive that `ctr image import` reads.
///
/// # Errors
/// Without busybox-static.
pub(crate) fn write_box(path: &Path) -> Result<()> {
    let busybox = std::fs::read("/bin/busybox")
        .context("/bin/busybox (install it with `tests/setup.sh kubernetes`)")?;
    let mut layer = Archive::default();
    for folder in ["bin/", "tmp/", "etc/", "proc/", "sys/", "dev/"] {
        layer.add(folder, b'5', "", &[])?;
    }
    layer.add("bin/busybox", b'0', "", &busybox)?;
    for applet in APPLETS {
        layer.add(&format!("bin/{applet}"), b'2', "busybox", &[])?;
    }
    let layer = layer.finish();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        // A process 1 that ends when it is asked to; `sleep` alone ignores it.
        "config": {
            "Entrypoint": ["/bin/sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"],
            "Env": ["PATH=/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
    })
    .to_string();
    let (config_name, layer_name) =
        (format!("{}.json", digest(config.as_bytes())), format!("{}.tar", digest(&layer)));
    let manifest = json!([{"Config": config_name, "RepoTags": [BOX], "Layers": [layer_name]}]);
    let mut image = Archive::default();
    image.add(&config_name, b'0', "", config.as_bytes())?;
    image.add(&layer_name, b'0', "", &layer)?;
    image.add("manifest.json", b'0', "", manifest.to_string().as_bytes())?;
    std::fs::write(path, image.finish()).with_context(|| path.display().to_string())
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A tar archive in the format of POSIX.1-1988 (ustar), every file readable and executable.
#[derive(Default)]
struct Archive(Vec<u8>);

const BLOCK: usize = 512;

impl Archive {
    fn add(&mut self, name: &str, kind: u8, link: &str, content: &[u8]) -> Result<()> {
        let mut header = [0; BLOCK];
        let mut put = |at: usize, text: &str| (&mut header[at..]).write_all(text.as_bytes());
        put(0, name)?;
        put(100, "0000755\0")?;
        put(108, "0000000\0")?;
        put(116, "0000000\0")?;
        put(124, &format!("{:011o}\0", content.len()))?;
        put(136, "00000000000\0")?;
        // The checksum counts its own field as blanks.
        put(148, "        ")?;
        put(157, link)?;
        put(257, "ustar\x0000")?;
        header[156] = kind;
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        (&mut header[148..]).write_all(format!("{sum:06o}\0").as_bytes())?;
        self.0.extend(header);
        self.0.extend(content);
        self.pad(BLOCK);
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 2 * BLOCK]);
        self.0
    }

    fn pad(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    #[test]
    fn tar_reads_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box.tar");
        super::write_box(&path).unwrap();
        let unpacked = Command::new("tar").arg("-xf").arg(&path).current_dir(&dir).status();
        assert!(unpacked.unwrap().success());
        let manifest = std::fs::read_to_string(dir.path().join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let layer = dir.path().join(manifest[0]["Layers"][0].as_str().unwrap());
        let listed = Command::new("tar").arg("-tvf").arg(&layer).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("bin/sh -> busybox"), "{listed}");
    }
}
