//! `turnkeep keygen`: makes a key file.

use crate::args::Keygen;
use crate::exit::{Exit, Result};
use crate::output::Output;
use serde::Serialize;
use turnkeep::KeyRing;

/// What was made, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Made {
    file: String,
    /// The new key first.
    keys: Vec<String>,
}

/// Makes the file, and prints the ids of its keys, the new one first.
pub fn run(args: &Keygen, out: &mut Output) -> Result<Exit> {
    let ring = match &args.rotate {
        None => KeyRing::create(&args.file)?,
        Some(old) => KeyRing::read(old)?.rotate(&args.file)?,
    };
    let made = Made {
        file: args.file.display().to_string(),
        keys: ring.ids().map(|id| id.to_string()).collect(),
    };
    if out.is_json() {
        out.object(&made)?;
    } else {
        for id in &made.keys {
            out.line(id)?;
        }
        out.say(format_args!(
            "{}: keep a copy; what it seals can be read with it alone",
            made.file
        ));
    }
    Ok(Exit::Ok)
}
