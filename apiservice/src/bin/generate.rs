//! Writes what the chart takes from the descriptors; with `--check`, says what has drifted.

use std::path::Path;
use std::process::ExitCode;

/// The generated file, from this crate's folder.
const ROLES: &str = "../charts/restate-operator/templates/apiserver/roles.yaml";

fn main() -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(ROLES);
    let wanted = restate_apiservice::manifest::roles_template();
    if std::env::args().any(|argument| argument == "--check") {
        return check(&path, &wanted);
    }
    match std::fs::write(&path, wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to write {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn check(path: &Path, wanted: &str) -> ExitCode {
    if std::fs::read_to_string(path).is_ok_and(|found| found == wanted) {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "{} is not what the descriptors say: run cargo run -p restate-apiservice --bin generate",
        path.display()
    );
    ExitCode::FAILURE
}
