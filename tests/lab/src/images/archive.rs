//! Images as OCI archives, without a daemon: layers, configuration, manifest and index in one tar file, as
//! containerd imports it and `docker load` or `skopeo` read it. The same inputs always give the same digest.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use oci_spec::{
    OciSpecError,
    image::{
        Arch, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfiguration, ImageConfigurationBuilder,
        ImageIndex, ImageIndexBuilder, ImageManifest, ImageManifestBuilder, MediaType, Os, PlatformBuilder,
        RootFsBuilder, SCHEMA_VERSION, Sha256Digest,
    },
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::layer::Layer;

pub use oci_spec::image::Digest;

/// containerd takes an image's name from this annotation of the index.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Other tools take the tag from this one.
const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";

/// What can go wrong while an image is written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layer cannot be made.
    #[error("failed to make a layer")]
    Layer {
        /// Which file, and why.
        source: io::Error,
    },
    /// A part of the image cannot be described.
    #[error("failed to describe the image")]
    Describe {
        /// Why.
        source: OciSpecError,
    },
    /// A description cannot be encoded.
    #[error("failed to encode the image's description")]
    Encode {
        /// Why.
        source: serde_json::Error,
    },
    /// The archive cannot be written.
    #[error("failed to write {}", archive.display())]
    Write {
        /// The archive.
        archive: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a container of the image starts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImageConfig {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Who it runs as, by number, for example `65532:65532`; empty is root.
    pub user: String,
}

/// An image that is complete but has no name yet: its digest can be part of the name.
#[derive(Debug)]
pub struct Image {
    layers: Vec<Blob>,
    config: Blob,
    manifest: Blob,
}

/// Bytes by their digest.
#[derive(Debug)]
struct Blob {
    descriptor: Descriptor,
    content: NamedTempFile,
}

/// Writes an image under a name that is known beforehand.
pub fn write(archive: &Path, name: &str, config: ImageConfig, layers: &[Layer]) -> Result<Digest, Error> {
    let image = Image::new(config, layers)?;
    image.write(archive, name)?;
    Ok(image.digest().clone())
}

impl Image {
    /// Puts layers and configuration together.
    pub fn new(config: ImageConfig, layers: &[Layer]) -> Result<Self, Error> {
        let layers = layers.iter().map(Blob::of_layer).collect::<Result<Vec<_>, _>>()?;
        let described = describe(config, &layers).map_err(|source| Error::Describe { source })?;
        let config = Blob::of_json(MediaType::ImageConfig, &described)?;
        let manifest = manifest(&config, &layers).map_err(|source| Error::Describe { source })?;
        let manifest = Blob::of_json(MediaType::ImageManifest, &manifest)?;
        Ok(Self { layers, config, manifest })
    }

    /// The digest of the image's manifest: it changes with every byte of the image.
    pub fn digest(&self) -> &Digest {
        self.manifest.descriptor.digest()
    }

    /// The size of all layers.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.descriptor.size()).sum()
    }

    /// Writes the archive; it appears under its name when it is complete.
    pub fn write(&self, archive: &Path, name: &str) -> Result<(), Error> {
        let index = self.index(name).map_err(|source| Error::Describe { source })?;
        let index = serde_json::to_vec(&sorted(&index)?).map_err(|source| Error::Encode { source })?;
        self.write_parts(archive, &index)
            .map_err(|source| Error::Write { archive: archive.to_owned(), source })
    }

    fn index(&self, name: &str) -> Result<ImageIndex, OciSpecError> {
        let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        let names = [(CONTAINERD_NAME, name), (REFERENCE_NAME, tag)];
        let annotations: HashMap<_, _> =
            names.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let manifest = DescriptorBuilder::default()
            .media_type(MediaType::ImageManifest)
            .digest(self.digest().clone())
            .size(self.manifest.descriptor.size())
            .platform(PlatformBuilder::default().architecture(Arch::default()).os(Os::Linux).build()?)
            .annotations(annotations)
            .build()?;
        ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests([manifest])
            .build()
    }

    fn write_parts(&self, archive: &Path, index: &[u8]) -> io::Result<()> {
        let folder =
            archive.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let unfinished = NamedTempFile::new_in(folder)?;
        let blobs = self.layers.iter().chain([&self.config, &self.manifest]);
        let files =
            Layer::new().file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#).file("index.json", index);
        let files = blobs.fold(files, |files, blob| files.copy(blob.path(), blob.content.path()));
        files.write(BufWriter::new(unfinished.as_file()))?;
        readable_by_all(unfinished.as_file())?;
        unfinished.persist(archive)?;
        Ok(())
    }
}

impl Blob {
    fn path(&self) -> PathBuf {
        Path::new("blobs/sha256").join(self.descriptor.digest().digest())
    }

    fn of_layer(layer: &Layer) -> Result<Self, Error> {
        Self::collect(MediaType::ImageLayer, |to| layer.write(to)).map_err(|source| Error::Layer { source })
    }

    fn of_json(kind: MediaType, value: &impl Serialize) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(&sorted(value)?).map_err(|source| Error::Encode { source })?;
        Self::collect(kind, |to| to.write_all(&bytes)).map_err(|source| Error::Layer { source })
    }

    fn collect(kind: MediaType, fill: impl FnOnce(&mut Hashing<'_>) -> io::Result<()>) -> io::Result<Self> {
        let content = NamedTempFile::new()?;
        let hash = {
            let mut hashing = Hashing { to: BufWriter::new(content.as_file()), hash: Sha256::new() };
            fill(&mut hashing)?;
            hashing.flush()?;
            hashing.hash.finalize()
        };
        let hex = hex::encode(hash);
        let digest = Sha256Digest::from_str(&hex).map_err(io::Error::other)?;
        let size = content.as_file().metadata()?.len();
        Ok(Self { descriptor: Descriptor::new(kind, size, digest), content })
    }
}

/// Bytes on their way into a file, hashed in passing.
struct Hashing<'a> {
    to: BufWriter<&'a File>,
    hash: Sha256,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn describe(config: ImageConfig, layers: &[Blob]) -> Result<ImageConfiguration, OciSpecError> {
    let ImageConfig { entrypoint, environment, user } = config;
    let run = ConfigBuilder::default().entrypoint(entrypoint).env(environment).user(user).build()?;
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.descriptor.digest().to_string()).collect();
    ImageConfigurationBuilder::default()
        .architecture(Arch::default())
        .os(Os::Linux)
        .config(run)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(diff_ids).build()?)
        .build()
}

fn manifest(config: &Blob, layers: &[Blob]) -> Result<ImageManifest, OciSpecError> {
    let layers: Vec<Descriptor> = layers.iter().map(|layer| layer.descriptor.clone()).collect();
    ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config.descriptor.clone())
        .layers(layers)
        .build()
}

/// Through a `Value`, whose maps are sorted: annotations are a hash map, whose order is not the same twice.
fn sorted(value: &impl Serialize) -> Result<serde_json::Value, Error> {
    let mut value = serde_json::to_value(value).map_err(|source| Error::Encode { source })?;
    value.sort_all_objects();
    Ok(value)
}

/// Temporary files are for their owner alone; an archive is for anybody.
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const NAME: &str = "localhost/lab/thing:1";

    fn config() -> ImageConfig {
        ImageConfig {
            entrypoint: vec!["/thing".to_owned()],
            environment: vec!["A=b".to_owned()],
            user: "65532".to_owned(),
        }
    }

    fn layers() -> Vec<Layer> {
        vec![Layer::new().file("/etc/hosts", "x"), Layer::new().file("/thing", "program")]
    }

    fn read(archive: &Path) -> HashMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(File::open(archive).unwrap());
        let read = |entry: io::Result<tar::Entry<'_, File>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    fn blob<'a>(files: &'a HashMap<String, Vec<u8>>, digest: &Digest) -> &'a [u8] {
        let content = &files[&format!("blobs/sha256/{}", digest.digest())];
        let hash = hex::encode(Sha256::digest(content));
        assert_eq!(hash, digest.digest(), "a blob is named by its own digest");
        content
    }

    #[test]
    fn an_archive_leads_from_the_name_to_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a/thing.tar");
        let digest = write(&archive, NAME, config(), &layers()).unwrap();
        let files = read(&archive);
        let index = ImageIndex::from_reader(files["index.json"].as_slice()).unwrap();
        let entry = &index.manifests()[0];
        assert_eq!(entry.annotations().as_ref().unwrap()[CONTAINERD_NAME], NAME);
        assert_eq!(entry.annotations().as_ref().unwrap()[REFERENCE_NAME], "1");
        assert_eq!(entry.digest(), &digest);
        let manifest = ImageManifest::from_reader(blob(&files, entry.digest())).unwrap();
        let config = ImageConfiguration::from_reader(blob(&files, manifest.config().digest())).unwrap();
        let run = config.config().as_ref().unwrap();
        assert_eq!(run.entrypoint().as_ref().unwrap(), &["/thing"]);
        assert_eq!(run.user().as_deref(), Some("65532"));
        let ids: Vec<_> = manifest.layers().iter().map(|layer| layer.digest().to_string()).collect();
        assert_eq!(config.rootfs().diff_ids(), &ids);
        for layer in manifest.layers() {
            assert_eq!(blob(&files, layer.digest()).len() as u64, layer.size());
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["1", "2"].map(|name| folder.path().join(name));
        write(&first, NAME, config(), &layers()).unwrap();
        write(&second, NAME, config(), &layers()).unwrap();
        assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
    }

    #[test]
    fn the_digest_changes_with_content_and_configuration_and_not_with_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::new(config(), &layers()).unwrap();
        let renamed = write(&folder.path().join("x"), "other:2", config(), &layers()).unwrap();
        assert_eq!(image.digest(), &renamed);
        let other_layer = Image::new(config(), &[Layer::new().file("/thing", "program!")]).unwrap();
        let other_user = Image::new(ImageConfig { user: "0".to_owned(), ..config() }, &layers()).unwrap();
        assert_ne!(image.digest(), other_layer.digest());
        assert_ne!(image.digest(), other_user.digest());
    }

    #[test]
    fn a_failed_write_leaves_no_archive() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Layer::new().copy("/a", folder.path().join("missing"));
        let error = write(&folder.path().join("x"), NAME, config(), &[missing]).unwrap_err();
        assert!(matches!(error, Error::Layer { .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
