//! The JSON Schemas that are handed out are the ones that the types have.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

use schemas::EventKind;

#[test]
fn the_written_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    for kind in EventKind::ALL {
        let written = std::fs::read(folder.join(format!("{}.json", kind.as_str())))
            .ok()
            .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        // Compared as values: the order of keys follows from features that other crates may turn on.
        assert!(
            written == Some(kind.json_schema().to_value()),
            "the schema of {} is out of date; run: cargo run -p schemas --example write-json-schemas",
            kind.as_str()
        );
    }
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let kinds: BTreeSet<String> = EventKind::ALL
        .iter()
        .map(|kind| format!("{}.json", kind.as_str()))
        .collect();
    assert_eq!(files, kinds, "schemas/json holds one file per event type");
}
