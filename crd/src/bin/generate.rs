//! `cargo run -p restate-crd --bin generate` writes the generated files; with `--check` it compares them with
//! what is there and names each that differs.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use restate_crd::generate::{self, File, files};

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to make the files")]
    Generate(#[from] generate::Error),
    #[error("failed to write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "these files differ from what the types say; `cargo run -p restate-crd --bin generate` writes them anew: {0:?}"
    )]
    Drift(Vec<PathBuf>),
    #[error("the only argument is --check")]
    Usage,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            causes.for_each(|cause| eprintln!("  because: {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let root = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from("."), |crd| Path::new(&crd).join(".."));
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => files()?.iter().try_for_each(|file| write(&root, file)),
        ["--check"] => check(&root, &files()?),
        _ => Err(Error::Usage),
    }
}

fn write(root: &Path, file: &File) -> Result<(), Error> {
    let path = root.join(&file.path);
    let folder = path.parent().unwrap_or(root);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, &file.text));
    written.map_err(|source| Error::Write { path: file.path.clone(), source })
}

fn check(root: &Path, files: &[File]) -> Result<(), Error> {
    let same = |file: &&File| fs::read_to_string(root.join(&file.path)).is_ok_and(|text| text == file.text);
    let differing: Vec<PathBuf> =
        files.iter().filter(|file| !same(file)).map(|file| file.path.clone()).collect();
    if differing.is_empty() { Ok(()) } else { Err(Error::Drift(differing)) }
}
