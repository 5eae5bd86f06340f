//! Images: made from the workspace's programs as OCI archives, imported into the node or pushed to a registry.
//!
//! ```text
//! programs ─► recipe ─► stamp ─► archive ─► node | registry
//! ```
//!
//! An image's tag is the digest of its content: nothing that runs an image by its name can get a stale one.

pub mod archive;
mod base;
mod layer;
mod programs;
mod recipe;
mod registry;
mod sources;
mod stamp;
mod typescript;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use strum::IntoEnumIterator;

pub use layer::Layer;
pub use programs::{target, workspace};

use self::{
    archive::Image,
    programs::{Profile, Program},
    recipe::Recipe,
    stamp::Record,
};
use crate::{Context, Result, node::Node, progress::Step, tools::Tools};

/// Where the lab's images live: no registry is ever asked for a name on localhost.
const PREFIX: &str = "localhost/restate-operator";

/// How much of a digest goes into a tag: 48 bits, far from any collision in one cache.
const TAG_LENGTH: usize = 12;

/// Options of `cargo lab image`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ImageArgs {
    /// Where the archives go
    #[arg(long, short, value_name = "DIR", default_value = "target/images")]
    pub output: PathBuf,
    /// Their tag; the product's version if not given
    #[arg(long, value_name = "TAG", default_value = env!("CARGO_PKG_VERSION"))]
    pub tag: String,
}

/// The images that the chart and the tests use, by full name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Images {
    /// The controller.
    pub controller: String,
    /// The extension API server.
    pub apiserver: String,
    /// The demo's service, version 1.
    pub greeter_v1: String,
    /// The demo's service, version 2.
    pub greeter_v2: String,
    /// Restate's server, with restatectl.
    pub restate: String,
}

/// Images that were built and may not have reached the cluster yet.
#[derive(Clone, Debug)]
pub struct Built {
    images: Images,
    records: Vec<Record>,
}

/// Builds what is stale and makes the node (or the registry of an existing cluster) have all of it.
pub async fn ensure(context: &Context, node: &Node) -> Result<Images> {
    let built = build(context, node.tools()).await?;
    deliver(context, node, built).await
}

/// Builds what is stale. It needs no node: this can go on while one starts.
pub async fn build(context: &Context, tools: &Tools) -> Result<Built> {
    programs::build(context, &Program::iter().collect::<Vec<_>>(), Profile::Lab).await?;
    let step = context.progress.step("images");
    let [controller, apiserver] = finish(context, &recipe::product(context, Profile::Lab).await?, &step)?;
    let [greeter_v1, greeter_v2] = finish(context, &recipe::greeter(context).await?, &step)?;
    let [restate] = finish(context, &[recipe::restate(tools).await?], &step)?;
    let records = vec![controller, apiserver, greeter_v1, greeter_v2, restate];
    forget_others(&context.cache.images(), &records)?;
    let [controller, apiserver, greeter_v1, greeter_v2, restate] =
        [0, 1, 2, 3, 4].map(|n| records[n].image.clone());
    step.done(sizes(&records));
    Ok(Built { images: Images { controller, apiserver, greeter_v1, greeter_v2, restate }, records })
}

/// The same, with the product as it is given away: what benchmarks measure.
pub async fn ensure_release(context: &Context, node: &Node) -> Result<Images> {
    programs::build(context, &[Program::Controller, Program::Apiserver], Profile::Release).await?;
    programs::build(context, &[Program::Greeter], Profile::Lab).await?;
    let step = context.progress.step("release images");
    let mut product = recipe::product(context, Profile::Release).await?;
    for recipe in &mut product {
        recipe.tag = Some("release");
    }
    let [controller, apiserver] = finish(context, &product, &step)?;
    let [greeter_v1, greeter_v2] = finish(context, &recipe::greeter(context).await?, &step)?;
    let [restate] = finish(context, &[recipe::restate(node.tools()).await?], &step)?;
    let records = [controller, apiserver, greeter_v1, greeter_v2, restate];
    step.done(sizes(&records));
    hand_over(context, node, &records).await?;
    let [controller, apiserver, greeter_v1, greeter_v2, restate] = records.map(|record| record.image);
    Ok(Images { controller, apiserver, greeter_v1, greeter_v2, restate })
}

/// Makes the node, or the registry of an existing cluster, have what was built.
pub async fn deliver(context: &Context, node: &Node, built: Built) -> Result<Images> {
    hand_over(context, node, &built.records).await?;
    Ok(built.images)
}

/// The TypeScript service, which only tests use: built and delivered when one asks for it.
pub async fn ensure_typescript(context: &Context, node: &Node) -> Result<String> {
    let recipe = recipe::typescript(context).await?;
    let step = context.progress.step("image of the TypeScript service");
    let [record] = finish(context, &[recipe], &step)?;
    step.done(&record.image);
    hand_over(context, node, std::slice::from_ref(&record)).await?;
    Ok(record.image)
}

/// Restate of an older minor version, which only the long run of the tests needs; none without such a server.
pub async fn ensure_older_restate(context: &Context, node: &Node, clients: &Tools) -> Result<Option<String>> {
    let Some(server) = clients.older_restate() else { return Ok(None) };
    let recipe = recipe::older_restate(&server, node.tools()).await?;
    let step = context.progress.step("image of an older Restate");
    let [record] = finish(context, &[recipe], &step)?;
    step.done(&record.image);
    hand_over(context, node, std::slice::from_ref(&record)).await?;
    Ok(Some(record.image))
}

/// The controller that checks nothing before it removes a version, as a program of this machine.
pub async fn unchecked_controller(context: &Context) -> Result<PathBuf> {
    programs::build_unchecked(context).await
}

/// `cargo lab image`: the product's images, for anybody to load or push.
pub async fn export(context: &Context, arguments: ImageArgs) -> Result<()> {
    let ImageArgs { output, tag } = arguments;
    programs::build(context, &[Program::Controller, Program::Apiserver], Profile::Release).await?;
    for recipe in recipe::product(context, Profile::Release).await? {
        let image = Image::new(recipe.config.clone(), &recipe.layers)?;
        let name = format!("{}/{}:{tag}", prefix(context), recipe.name);
        let archive = output.join(format!("{}.tar", recipe.name));
        image.write(&archive, &name)?;
        println!("{}  {:.1} MB  {name}  {}", archive.display(), megabytes(image.size()), image.digest());
    }
    println!(
        "\nLoad them with `docker load -i FILE`, `podman load -i FILE`, `ctr -n k8s.io images import FILE`,"
    );
    println!("or copy them to a registry with `skopeo copy oci-archive:FILE docker://REGISTRY/NAME:{tag}`.");
    Ok(())
}

/// One record per recipe, in the same order.
fn finish<const N: usize>(context: &Context, recipes: &[Recipe], step: &Step) -> Result<[Record; N]> {
    let records = recipes.iter().map(|recipe| record(context, recipe, step)).collect::<Result<Vec<_>>>()?;
    records
        .try_into()
        .map_err(|records: Vec<_>| anyhow::anyhow!("{} images where {N} were due", records.len()))
}

/// The record of the last build where nothing has changed since, else a new image.
fn record(context: &Context, recipe: &Recipe, step: &Step) -> Result<Record> {
    let images = context.cache.images();
    fs::create_dir_all(&images)?;
    let title = [Some(recipe.name), recipe.tag].into_iter().flatten().collect::<Vec<_>>().join("-");
    let stamp = format!("{} {}", prefix(context), stamp::of(recipe)?);
    let note = images.join(format!("{title}.json"));
    if let Some(record) = Record::read(&note).filter(|record| record.stamp == stamp) {
        return Ok(record);
    }
    step.now(&title);
    let image = Image::new(recipe.config.clone(), &recipe.layers)?;
    let digest = &image.digest().digest()[..TAG_LENGTH];
    let tag = recipe.tag.map_or_else(|| digest.to_owned(), |tag| format!("{tag}-{digest}"));
    let name = format!("{}/{}:{tag}", prefix(context), recipe.name);
    let archive = images.join(format!("{title}-{digest}.tar"));
    image.write(&archive, &name)?;
    let record = Record { stamp, image: name, archive, size: image.size() };
    record.write(&note)?;
    Ok(record)
}

async fn hand_over(context: &Context, node: &Node, records: &[Record]) -> Result<()> {
    let step = context.progress.parts("images to the cluster", records.len());
    let there = names_in(node).await?;
    let mut moved = 0;
    for record in records.iter().filter(|record| !there.contains(&record.image)) {
        step.now(&record.image);
        if node.is_ours() {
            node.import_image(&record.archive).await?;
        } else {
            registry::push(&record.archive, &record.image).await?;
        }
        moved += 1;
        step.advance();
    }
    step.done(format_args!("{moved} of {} were new", records.len()));
    Ok(())
}

/// What the lab's own node has; a registry is asked image by image.
async fn names_in(node: &Node) -> Result<BTreeSet<String>> {
    if !node.is_ours() {
        return Ok(BTreeSet::new());
    }
    let listed = node.ctr(["images", "list", "-q"])?.text().await?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn prefix(context: &Context) -> &str {
    context.options.registry.as_deref().unwrap_or(PREFIX)
}

/// Archives are large: only the newest of each image stays.
fn forget_others(images: &Path, records: &[Record]) -> Result<()> {
    let kept: BTreeSet<&Path> = records.iter().map(|record| record.archive.as_path()).collect();
    let titles = ["controller-", "apiserver-", "greeter-", "restate-"];
    for entry in fs::read_dir(images).with_context(|| format!("failed to read {}", images.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ours = name.ends_with(".tar") && titles.iter().any(|title| name.starts_with(title));
        if ours && !kept.contains(path.as_path()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn sizes(records: &[Record]) -> String {
    let size = |record: &Record| {
        let name = record.image.rsplit_once('/').map_or(record.image.as_str(), |(_, name)| name);
        format!("{} {:.0} MB", name.split(['-', ':']).next().unwrap_or(name), megabytes(record.size))
    };
    records.iter().map(size).collect::<Vec<_>>().join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "sizes are shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Repository and tag of an image, as the chart wants them.
pub fn repository_and_tag(image: &str) -> (&str, &str) {
    image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((image, "latest"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("localhost/a/b:c", ("localhost/a/b", "c"))]
    #[case("localhost:5000/a/b:c", ("localhost:5000/a/b", "c"))]
    #[case("localhost:5000/a/b", ("localhost:5000/a/b", "latest"))]
    fn an_image_is_a_repository_and_a_tag(#[case] image: &str, #[case] parts: (&str, &str)) {
        assert_eq!(repository_and_tag(image), parts);
    }

    #[test]
    fn only_the_newest_archive_of_an_image_stays() {
        let folder = tempfile::tempdir().unwrap();
        let others = ["typescript-service-1.tar", "older-restate-1.6.1-1.tar", "restate.json"];
        for name in ["restate-1.tar", "restate-2.tar"].into_iter().chain(others) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let newest = folder.path().join("restate-2.tar");
        let record = Record { stamp: String::new(), image: String::new(), archive: newest, size: 0 };
        forget_others(folder.path(), &[record]).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        let kept = ["older-restate-1.6.1-1.tar", "restate-2.tar", "restate.json", "typescript-service-1.tar"];
        assert_eq!(left, kept);
    }
}
