//! The images that the node itself needs: pause, busybox, `CoreDNS`. Made from programs of this machine, kept as
//! archives in the cache, imported once.

use std::{fs, path::PathBuf};

use anyhow::Context as _;

use super::Node;
use crate::{
    Context, Result,
    images::{
        Layer,
        archive::{self, ImageConfig},
    },
    tools::{Key, debian},
};

/// Holds a pod's namespaces.
pub(super) const PAUSE: &str = "localhost/lab/pause:1";

/// A shell with its small programs, for pods of tests and for the provisioner of volumes.
pub const BUSYBOX: &str = "localhost/lab/busybox:1";

/// What of busybox gets a name of its own.
const APPLETS: [&str; 24] = [
    "sh", "ls", "cat", "sleep", "mkdir", "rm", "wget", "nslookup", "env", "cp", "chmod", "chown", "echo",
    "true", "false", "grep", "head", "tail", "id", "date", "nc", "ping", "httpd", "ps",
];

struct BaseImage {
    name: String,
    archive: PathBuf,
    layer: Layer,
    config: ImageConfig,
}

/// The image of `CoreDNS` carries the key of its program.
pub(super) fn coredns(node: &Node) -> String {
    let program = node.tools().path("coredns");
    let module = program.ancestors().nth(2).and_then(|place| place.file_name()).unwrap_or_default();
    let key = module.to_string_lossy();
    format!("localhost/lab/coredns:{}", key.rsplit('-').next().unwrap_or("1"))
}

/// Makes the node have all of them.
pub(super) async fn ensure(context: &Context, node: &Node) -> Result<()> {
    let present = node.ctr(["images", "ls", "-q"])?.text().await?;
    fs::create_dir_all(context.cache.images())?;
    for image in images(context, node)? {
        if present.lines().any(|name| name == image.name) {
            continue;
        }
        if !image.archive.is_file() {
            write(&image)?;
        }
        let imported = node.import_image(&image.archive).await;
        imported.with_context(|| format!("failed to import {}", image.archive.display()))?;
    }
    Ok(())
}

fn write(image: &BaseImage) -> Result<()> {
    let BaseImage { name, archive, layer, config } = image;
    archive::write(archive, name, config.clone(), std::slice::from_ref(layer))
        .with_context(|| format!("failed to make the image {name}"))?;
    Ok(())
}

fn images(context: &Context, node: &Node) -> Result<Vec<BaseImage>> {
    let busybox = debian::find("busybox").context("busybox is not installed")?;
    let key = Key::of(busybox.parent().unwrap_or(&busybox), &["busybox"], &APPLETS)?;
    let place = |name: &str, key: &str| context.cache.images().join(format!("{name}-{key}.tar"));
    let shell = APPLETS.iter().fold(Layer::new().program("bin/busybox", &busybox), |layer, applet| {
        layer.symlink(format!("bin/{applet}"), "busybox")
    });
    let shell = shell.directory("tmp", 0o1777);
    let dns = coredns(node);
    let dns_key = dns.rsplit(':').next().unwrap_or_default().to_owned();
    let image = |name: &str, archive: PathBuf, layer: &Layer, entrypoint: &[&str]| BaseImage {
        name: name.to_owned(),
        archive,
        layer: layer.clone(),
        config: started_by(entrypoint),
    };
    Ok(vec![
        image(PAUSE, place("pause", &key.to_string()), &shell, &["/bin/sleep", "2147483647"]),
        image(BUSYBOX, place("busybox", &key.to_string()), &shell, &["/bin/sh"]),
        image(
            &dns,
            place("coredns", &dns_key),
            &Layer::new().program("coredns", node.tools().path("coredns")),
            &["/coredns"],
        ),
    ])
}

fn started_by(entrypoint: &[&str]) -> ImageConfig {
    let entrypoint = entrypoint.iter().map(|&word| word.to_owned()).collect();
    ImageConfig { entrypoint, environment: vec!["PATH=/bin".to_owned()], ..Default::default() }
}
