//! What every image starts from: users, name service, certificate roots, and the libraries that a dynamic program
//! needs. No shell, no package manager, nothing that runs by itself.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use pem::{EncodeConfig, LineEnding, Pem, encode_many_config};

use super::{Layer, archive::ImageConfig};
use crate::{Result, process::Invocation};

/// The user that distroless images made customary; charts set it too.
pub(super) const USER: &str = "65532:65532";

const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";
const NSSWITCH: &str = "hosts: files dns\npasswd: files\ngroup: files\n";

/// A layer with users and certificate roots, and with the libraries of these programs.
pub(super) async fn layer(programs: &[&Path]) -> Result<Layer> {
    let mut libraries = BTreeSet::new();
    for program in programs {
        libraries.extend(libraries_of(program).await?);
    }
    let plain = Layer::new()
        .file("/etc/passwd", PASSWD)
        .file("/etc/group", GROUP)
        .file("/etc/nsswitch.conf", NSSWITCH)
        .file("/etc/ssl/certs/ca-certificates.crt", certificate_roots())
        .directory("/tmp", 0o1777);
    Ok(libraries.into_iter().fold(plain, |layer, library| layer.program(&library, &library)))
}

/// A container that runs this program as nobody in particular.
pub(super) fn config(program: &str, environment: &[&str]) -> ImageConfig {
    ImageConfig {
        entrypoint: vec![program.to_owned()],
        environment: environment.iter().map(|&variable| variable.to_owned()).collect(),
        user: USER.to_owned(),
    }
}

/// Mozilla's roots, so that an image does not depend on what the building machine trusts.
fn certificate_roots() -> String {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
    let blocks: Vec<Pem> = roots.iter().map(|root| Pem::new("CERTIFICATE", root.as_ref())).collect();
    encode_many_config(&blocks, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

async fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    // Output and not status decides: ldd ends with 1 for a program that needs nothing.
    let script = r#"ldd "$0" 2>&1 || true"#;
    let listed = Invocation::new(format!("looking for the libraries of {}", program.display()), "sh").args([
        Path::new("-c"),
        Path::new(script),
        program,
    ]);
    libraries(&listed.text().await?)
}

/// The files that `ldd` names. A library that it does not find is an error here and not in a container.
fn libraries(listing: &str) -> Result<Vec<PathBuf>> {
    if let Some(line) =
        listing.lines().find(|line| line.contains("not found") || line.contains("No such file"))
    {
        anyhow::bail!("a library is missing: {}", line.trim());
    }
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(listing.lines().filter(|line| line.contains("(0x")).filter_map(path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_a_dynamic_program_are_files() {
        let listing = "\tlinux-vdso.so.1 (0x00007f)\n\tlibgcc_s.so.1 => /lib/libgcc_s.so.1 (0x0001)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x0002)\n";
        let found = libraries(listing).unwrap();
        assert_eq!(found, ["/lib/libgcc_s.so.1", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from));
    }

    #[test]
    fn a_static_program_needs_nothing() {
        assert!(libraries("\tstatically linked\n").unwrap().is_empty());
        assert!(libraries("\tnot a dynamic executable\n").unwrap().is_empty());
    }

    #[test]
    fn a_missing_library_is_named() {
        let error = libraries("\tlibssl.so.3 => not found\n").unwrap_err().to_string();
        assert!(error.contains("libssl.so.3"), "{error}");
    }

    #[test]
    fn the_roots_are_a_bundle_of_certificates() {
        let roots = pem::parse_many(certificate_roots()).unwrap();
        assert!(roots.len() > 100);
        assert!(roots.iter().all(|root| root.tag() == "CERTIFICATE"));
    }
}
