//! The workspace's own programs, built into the lab's cache: a fresh clone reuses the dependencies that an earlier
//! one has built.

use std::{
    env,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::sources;
use crate::{Context, Result, process::Invocation};

/// A program of this workspace that goes into an image; `strum` gives the name of its crate and of its file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, strum::EnumIter, strum::IntoStaticStr)]
pub(super) enum Program {
    /// The controller
    #[strum(serialize = "restate-controller")]
    Controller,
    /// The extension API server
    #[strum(serialize = "restate-apiserver")]
    Apiserver,
    /// The service of the demo and the tests
    #[strum(serialize = "restate-greeter")]
    Greeter,
}

/// How much the compiler is to try; `strum` gives cargo's word, which is also the name of the folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Profile {
    /// Built quickly: what the lab runs.
    Lab,
    /// What is given away.
    Release,
}

impl Program {
    /// The name of its crate and of its file.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }

    /// Where the build puts it.
    pub(super) fn path(self, context: &Context, profile: Profile) -> PathBuf {
        target(context).join(<&str>::from(profile)).join(self.name())
    }
}

/// Builds programs, where they are not what this clone would give already.
pub(super) async fn build(context: &Context, programs: &[Program], profile: Profile) -> Result<()> {
    let step = context.progress.step("programs for the images");
    let note = target(context).join(format!("{}-sources.json", <&str>::from(profile)));
    let files: Vec<_> = programs.iter().map(|program| program.path(context, profile)).collect();
    if sources::Record::read(&note).is_some_and(|record| record.holds(&workspace(), &files)) {
        step.done(format_args!("{} built already", programs.len()));
        return Ok(());
    }
    let began = SystemTime::now();
    compile(context, programs, profile).await?;
    if let Some(record) = sources::Record::of(&workspace(), &files, began)? {
        record.write(&note)?;
    }
    step.done(format_args!("{} built", programs.len()));
    Ok(())
}

/// Builds the controller that checks nothing before it removes a version, for the proof of the chaos run. It is no
/// [`Program`]: no image can contain it.
pub(super) async fn build_unchecked(context: &Context) -> Result<PathBuf> {
    const NAME: &str = "restate-controller-unchecked";
    let step = context.progress.step("a controller that must be found out");
    Invocation::new("building the unchecked controller", "nice")
        .args(["-n", "10", "cargo", "build", "--locked", "--profile", Profile::Lab.into()])
        .args(["--package", Program::Controller.name(), "--features", "unchecked", "--bin", NAME])
        .dir(&workspace())
        .env("CARGO_TARGET_DIR", target(context))
        .env("RESTATE_UNCHECKED", "chaos")
        .log(context.cache.logs().join("unchecked.log"))
        .run()
        .await?;
    step.done("built");
    Ok(target(context).join(<&str>::from(Profile::Lab)).join(NAME))
}

async fn compile(context: &Context, programs: &[Program], profile: Profile) -> Result<()> {
    let packages = programs.iter().flat_map(|program| ["--package", program.name()]);
    // With the lowest priority: a node that may be running beside it must go on answering.
    Invocation::new("building the programs for the images", "nice")
        .args(["-n", "10", "cargo", "build", "--locked", "--profile", profile.into()])
        .args(packages)
        .dir(&workspace())
        .env("CARGO_TARGET_DIR", target(context))
        .log(context.cache.logs().join("image-programs.log"))
        .run()
        .await?;
    Ok(())
}

/// The root of the clone that this program was started from.
pub fn workspace() -> PathBuf {
    let lab =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root =
        if lab.ends_with("tests/lab") { lab } else { Path::new(env!("CARGO_MANIFEST_DIR")).to_owned() };
    root.ancestors().nth(2).map_or_else(|| root.clone(), Path::to_owned)
}

/// Where cargo builds for every clone.
pub fn target(context: &Context) -> PathBuf {
    context.cache.path().join("target")
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn the_workspace_has_a_crate_for_each_program() {
        let manifest = std::fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
        for program in Program::iter() {
            assert!(manifest.contains(&format!("name = \"{}\"", program.name())), "{}", program.name());
        }
    }

    #[test]
    fn what_checks_nothing_goes_into_no_image() {
        assert!(Program::iter().all(|program| !program.name().contains("unchecked")));
        let dockerfile = std::fs::read_to_string(workspace().join("Dockerfile")).unwrap();
        assert!(!dockerfile.contains("unchecked") && !dockerfile.contains("features"), "{dockerfile}");
    }
}
