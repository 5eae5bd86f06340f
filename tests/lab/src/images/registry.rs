//! Pushing an archive to a registry, for a cluster that is not the lab's own.

use std::{collections::HashMap, fs::File, io::Read, path::Path};

use anyhow::Context as _;
use oci_client::{
    Client, Reference, RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};
use oci_spec::image::{Digest, ImageIndex, ImageManifest};

use crate::Result;

/// Which environment variables hold the account, where the registry wants one.
const ACCOUNT: [&str; 2] = ["LAB_REGISTRY_USER", "LAB_REGISTRY_PASSWORD"];

/// Makes the registry have this image under this name; quick when it has it already.
pub(super) async fn push(archive: &Path, image: &str) -> Result<()> {
    let reference: Reference = image.parse().with_context(|| format!("{image} is no image's name"))?;
    let parts = Parts::read(archive).with_context(|| format!("failed to read {}", archive.display()))?;
    let registry = Client::new(ClientConfig { protocol: protocol(&reference), ..Default::default() });
    let account = account(|name| std::env::var(name).ok());
    registry.auth(&reference, &account, RegistryOperation::Push).await.context("the registry refuses us")?;
    if registry.fetch_manifest_digest(&reference, &account).await.is_ok_and(|digest| digest == parts.digest) {
        return Ok(());
    }
    for (digest, content) in parts.blobs {
        registry
            .push_blob(&reference, content, &digest)
            .await
            .with_context(|| format!("failed to push {digest}"))?;
    }
    let kind = http::HeaderValue::from_static("application/vnd.oci.image.manifest.v1+json");
    let pushed = registry.push_manifest_raw(&reference, parts.manifest, kind).await;
    pushed.map(drop).with_context(|| format!("failed to push {image}"))
}

/// Registries on this machine rarely have certificates.
fn protocol(reference: &Reference) -> ClientProtocol {
    let host = reference.resolve_registry();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    if matches!(host, "localhost" | "127.0.0.1") { ClientProtocol::Http } else { ClientProtocol::Https }
}

fn account(variable: impl Fn(&str) -> Option<String>) -> RegistryAuth {
    match ACCOUNT.map(variable) {
        [Some(user), Some(password)] => RegistryAuth::Basic(user, password),
        _ => RegistryAuth::Anonymous,
    }
}

/// What a registry wants of an archive, in the order in which it wants it.
struct Parts {
    digest: String,
    manifest: Vec<u8>,
    blobs: Vec<(String, Vec<u8>)>,
}

impl Parts {
    fn read(archive: &Path) -> Result<Self> {
        let mut files = HashMap::new();
        for entry in tar::Archive::new(File::open(archive)?).entries()? {
            let mut entry = entry?;
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.insert(entry.path()?.display().to_string(), content);
        }
        let mut take = |path: &str| files.remove(path).with_context(|| format!("{path} is not there"));
        let index = ImageIndex::from_reader(take("index.json")?.as_slice())?;
        let named = index.manifests().first().context("the index names no image")?;
        let mut blob = |digest: &Digest| take(&format!("blobs/sha256/{}", digest.digest()));
        let manifest = blob(named.digest())?;
        let described = ImageManifest::from_reader(manifest.as_slice())?;
        let wanted = described.layers().iter().chain([described.config()]);
        let blobs = wanted.map(|part| Ok((part.digest().to_string(), blob(part.digest())?)));
        let blobs = blobs.collect::<Result<_>>()?;
        Ok(Self { digest: named.digest().to_string(), manifest, blobs })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::images::{Layer, archive, base};

    #[test]
    fn the_parts_of_an_archive_are_all_that_its_manifest_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let layers = [Layer::new().file("/a", "1"), Layer::new().file("/b", "2")];
        let digest = archive::write(&path, "localhost/a:1", base::config("/a", &[]), &layers).unwrap();
        let parts = Parts::read(&path).unwrap();
        assert_eq!(parts.digest, digest.to_string());
        assert_eq!(parts.blobs.len(), 3, "two layers and the configuration");
    }

    #[rstest]
    #[case("localhost:5000/a:1", true)]
    #[case("127.0.0.1:5000/a:1", true)]
    #[case("registry.example.com/a:1", false)]
    fn only_this_machine_is_trusted_without_tls(#[case] image: &str, #[case] plain: bool) {
        let reference = image.parse().unwrap();
        assert_eq!(matches!(protocol(&reference), ClientProtocol::Http), plain);
    }

    #[test]
    fn an_account_needs_both_halves() {
        let half = account(|name| (name == ACCOUNT[0]).then(|| "me".to_owned()));
        assert!(matches!(half, RegistryAuth::Anonymous));
        assert!(matches!(account(|_| Some("x".to_owned())), RegistryAuth::Basic(..)));
    }
}
