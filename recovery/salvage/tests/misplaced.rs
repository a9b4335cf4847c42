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

fn manifests(home: &Home) -> Vec<String> {
    let names = home.names("").into_iter();
    names.filter(|name| name.starts_with("manifest")).collect()
}

/// Neither a manifest nor the header of a segment or a pack is left. Checksums are seeded with the
/// journal's id: a state file still has it.
#[test]
fn a_state_file_says_whose_journal_it_is() {
    let home = Home::new();
    compacted(&home);
    let all = everything(&home);
    manifests(&home).iter().for_each(|name| home.remove(name));
    for ending in [".seg", ".pack"] {
        for name in home.names(ending) {
            home.flip(&name, 20);
        }
    }
    assert_kept(&all, &rescue(&home));
}

/// A segment of another journal lies among those of this one, and no manifest says which is which.
#[test]
fn most_files_say_which_journal_it_is() {
    let homes = [Home::new(), Home::new()];
    for home in &homes {
        compacted(home);
        manifests(home).iter().for_each(|name| home.remove(name));
    }
    let strays = homes.each_ref().map(|home| home.read(&home.logged()[0]));
    for (n, home) in homes.iter().enumerate() {
        let journal = rescue(home).report.journal;
        let all_kept = rescue(home).entries;
        home.write("00000000000000000099.seg", &strays[1 - n]);
        let salvaged = rescue(home);
        assert_eq!(salvaged.report.journal, journal);
        assert_eq!(salvaged.entries, all_kept);
    }
}

/// A state file of another journal, and one of this journal under the name of another, are not
/// what their names say. What they claim to know of is not missed.
#[test]
fn a_state_file_that_is_another_one_is_not_believed() {
    let (home, other) = (Home::new(), Home::new());
    compacted(&other);
    let journal = home.open();
    fill(&journal, "a", 1, 3);
    journal.compact().expect("compacts");
    drop(journal);
    let own = home.names(".state").pop().expect("one");
    let theirs = other.names(".state").pop().expect("one");
    assert_ne!(own, theirs, "it would be in the place of a good one");
    for bytes in [other.read(&theirs), home.read(&own)] {
        home.write(&theirs, &bytes);
        let salvaged = rescue(&home);
        let report = &salvaged.report;
        let is_it = |f: &&Finding| f.code == "state" && f.file.as_deref() == Some(&*theirs);
        assert!(report.findings.iter().any(|f| is_it(&f)), "{report}");
        assert!(
            report.lost.is_empty() && report.uncertain.is_empty(),
            "{report}"
        );
    }
}

/// The page that says what was durable stands under another name.
#[test]
fn the_watermark_page_is_believed_wherever_it_stands() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 3);
    let last = journal.durable_lsn().get() - 1;
    drop(journal);
    let all = everything(&home);
    whose::wipe(&home, &all, &[last]);
    let page = home.read("WATERMARK");
    home.remove("WATERMARK");
    // Somebody closed it meanwhile, or not: nothing else proves the last record.
    for name in home.logged() {
        let mut bytes = home.read(&name);
        for at in (4096..bytes.len()).step_by(4096) {
            if bytes[at..at + 3] == *b"TKG" && bytes[at + 36] == 0 {
                bytes[at..at + 4096].fill(0);
            }
        }
        home.write(&name, &bytes);
    }
    assert_eq!(rescue(&home).lost(), [0; 0], "nothing proves it");
    home.write("spare-00000000000000000009.seg", &page);
    assert_eq!(rescue(&home).lost(), [last]);
}
