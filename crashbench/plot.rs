//! The plot.

use crate::Result;
use crate::args::PlotArgs;

/// Runs `crashbench plot`.
pub fn command(_: &PlotArgs) -> Result<()> {
    Ok(())
}
