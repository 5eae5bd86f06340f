//! What is committed is what the types say.

use std::{fs, path::Path};

use restate_crd::generate::files;

#[test]
fn the_committed_files_are_the_generated_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = files().unwrap();
    assert_eq!(files.len(), 9);
    for file in files {
        let committed = fs::read_to_string(root.join(&file.path)).unwrap_or_default();
        assert!(
            committed == file.text,
            "{} differs: cargo run -p restate-crd --bin generate",
            file.path.display()
        );
    }
}

#[test]
fn no_definition_is_too_large_for_client_side_apply() {
    // kubectl keeps the whole object, as JSON, in one annotation: 256 KiB for all annotations together.
    for definition in restate_crd::generate::definitions() {
        let size = serde_json::to_string(&definition).unwrap().len();
        assert!(size < 200 * 1024, "{:?}: {size}", definition.metadata.name);
    }
}
