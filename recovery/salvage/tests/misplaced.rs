//! Files that stand under names of others, or come from another journal.

use super::*;

/// Somebody restores a manifest from the wrong backup. It validates, and is the newest: salvage
/// took its journal for the one that is salvaged, and left every segment out as foreign.
#[test]
fn a_manifest_of_another_journal_is_left_out() {
    let (home, other) = (Home::new(), Home::new());
    compacted(&home);
    compacted(&other);
    let all = everything(&home);
    let manifests = |home: &Home| {
        let names = home.names("").into_iter();
        names
            .filter(|n| n.starts_with("manifest"))
            .collect::<Vec<_>>()
    };
    let (newest, theirs) = (manifests(&home).pop(), manifests(&other).pop());
    let (newest, theirs) = (newest.expect("there is one"), theirs.expect("there is one"));
    assert_eq!(newest, theirs);
    let journal = rescue(&home).report.journal;
    let before = home.read(&newest);
    // In place of the newest one, and in place of all.
    home.write(&newest, &other.read(&theirs));
    for manifest in manifests(&home).iter().rev() {
        home.write(manifest, &other.read(&theirs));
        let salvaged = rescue(&home);
        assert_eq!(salvaged.report.journal, journal);
        assert_kept(&all, &salvaged);
        assert!(salvaged.report.lost.is_empty(), "{}", salvaged.report);
        let finding = salvaged
            .report
            .findings
            .iter()
            .find(|f| f.code == "foreign");
        assert_eq!(finding.expect("is named").file.as_deref(), Some(&*newest));
    }
    home.write(&newest, &before);
}

/// Two files have changed their names. What they are, their headers say.
#[test]
fn files_under_each_others_names_are_found() {
    let home = Home::new();
    compacted(&home);
    let (good, all) = (home.files(), everything(&home));
    let logged = home.logged();
    let pack = home.names(".pack")[0].clone();
    let state = home.names(".state")[0].clone();
    let last = logged.last().expect("a segment").clone();
    for (a, b) in [
        (&last, &"WATERMARK".to_owned()),
        (&last, &logged[0]),
        (&last, &pack),
        (&pack, &state),
    ] {
        home.write(a, &good[b]);
        home.write(b, &good[a]);
        let salvaged = rescue(&home);
        assert!(
            salvaged.report.is_complete(),
            "{a}, {b}: {}",
            salvaged.report
        );
        assert_kept(&all, &salvaged);
        home.write(a, &good[a]);
        home.write(b, &good[b]);
    }
}
