//! Writes the JSON Schema of every event into `schemas/json/`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    for kind in schemas::EventKind::ALL {
        let text = format!("{:#}\n", kind.json_schema().to_value());
        std::fs::write(folder.join(format!("{}.json", kind.as_str())), text)?;
    }
    Ok(())
}
