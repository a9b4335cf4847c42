//! Writes the seed corpora: `cargo run --no-default-features --bin seeds`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, _) in turnkeep_fuzz::TARGETS {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (i, seed) in turnkeep_fuzz::seeds::seeds(target).into_iter().enumerate() {
            fs::write(folder.join(format!("kept-{i}")), seed)?;
        }
    }
    Ok(())
}
