//! Whose lab runs on this machine. There is one bridge and one set of ports, so a lab that was started with another
//! home directory is in the way: it is waited for while it is in use, and taken down when it is idle.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{site::RUN_DIRECTORY, teardown};
use crate::{
    Context, Result,
    claim::Claim,
    places::{CacheDir, StateDir},
};

/// The file that says so; it is gone after a reboot, as the lab's processes are.
const FILE: &str = "owner.json";

#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Owner {
    state: PathBuf,
    cache: PathBuf,
}

/// Says that the lab of this machine is the one of this context.
pub(super) fn sign(context: &Context) -> Result<()> {
    let owner = Owner { state: context.state.path().to_owned(), cache: context.cache.path().to_owned() };
    fs::create_dir_all(RUN_DIRECTORY)?;
    Ok(fs::write(Path::new(RUN_DIRECTORY).join(FILE), serde_json::to_vec(&owner)?)?)
}

/// Takes down a lab that was started with other directories, once it is idle.
pub(super) async fn make_room(context: &Context, purpose: &str) -> Result<()> {
    let Some(foreign) = foreign_in(context, Path::new(RUN_DIRECTORY)) else { return Ok(()) };
    let place = foreign.state.path().display();
    context.progress.say(format_args!("another lab is on this machine, of {place}: it is taken down"));
    // With one cache there is one claim, and it is held by this command already.
    let has_its_own_claim = foreign.cache.path() != context.cache.path();
    let _claim = if has_its_own_claim { Some(Claim::take(&foreign, purpose).await?) } else { None };
    teardown::take_down(&foreign).await
}

/// The context of a lab that was started with other directories, if there is one.
fn foreign_in(context: &Context, run: &Path) -> Option<Context> {
    let owner: Owner = serde_json::from_slice(&fs::read(run.join(FILE)).ok()?).ok()?;
    let is_other = owner.state != context.state.path() && owner.state.exists();
    let other = || Context {
        state: StateDir::at(owner.state.clone()),
        cache: CacheDir::at(owner.cache.clone()),
        ..context.clone()
    };
    is_other.then(other)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rstest::rstest;

    use super::*;
    use crate::args::Args;

    #[rstest]
    #[case::another("theirs", true)]
    #[case::our_own("ours", false)]
    #[case::one_that_is_gone("gone", false)]
    fn only_another_lab_that_exists_is_foreign(#[case] owner: &str, #[case] expected: bool) {
        let place = tempfile::tempdir().expect("a directory");
        for name in ["ours", "theirs"] {
            fs::create_dir(place.path().join(name)).expect("made");
        }
        let owner = Owner { state: place.path().join(owner), cache: place.path().join("cache") };
        fs::write(place.path().join(FILE), serde_json::to_vec(&owner).expect("JSON")).expect("written");
        let arguments = Args::try_parse_from(["lab", "status"]).expect("parsed");
        let context = Context::new(arguments.options).expect("a context");
        let context = Context { state: StateDir::at(place.path().join("ours")), ..context };
        let found = foreign_in(&context, place.path());
        assert_eq!(found.is_some(), expected);
        assert!(found.is_none_or(|found| found.cache.path() == owner.cache));
    }
}
