//! `upgrade`: files of an older format become files of this release's.

use super::backup::{show, store, tell};
use crate::args::{Cli, backup};
use crate::exit::{Exit, Result};
use crate::output::Output;
use turnkeep::Upgrade;

/// Upgrades, tells what there is to upgrade, or confirms.
pub fn run(cli: &Cli, args: &backup::Upgrade, out: &mut Output) -> Result<Exit> {
    let store = store(cli, args.store.as_ref());
    let journal = &cli.global.journal;
    if args.confirm {
        let removed = store.confirm_upgrade(journal)?;
        return tell(
            out,
            &removed,
            format_args!("confirmed: the journal is sound; removed {removed}"),
        );
    }
    let mut options = Upgrade::default();
    (options.dry_run, options.even_if_current) = (args.dry_run, args.rewrite);
    let bar = out.byte_bar("upgrading", 0);
    let done = store.upgrade(journal, &options, &mut |p| show(&bar, &p));
    bar.finish_and_clear();
    let done = done?;
    tell(out, &done, &done)?;
    if done.kept.is_some() {
        out.say(
            "next: `turnkeep verify`, start the host, and when you are content \
             `turnkeep upgrade --confirm`; docs/UPGRADING.md has the way back",
        );
    }
    Ok(Exit::Ok)
}
