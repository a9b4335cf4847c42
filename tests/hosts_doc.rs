//! `docs/HOSTS.md` has a row for everything that the five hosts need, and every test that it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn rows() -> Vec<[String; 4]> {
    let document = fs::read_to_string(format!("{ROOT}/docs/HOSTS.md")).expect("is there");
    let rows = document.lines().filter(|line| {
        let is_id = |c: char| "CSAMH".contains(c);
        line.strip_prefix("| ").is_some_and(|row| {
            row.starts_with(is_id) && row[1..].starts_with(|c: char| c.is_ascii_digit())
        })
    });
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let cells: [&str; 4] = cells.try_into().unwrap_or_else(|_| panic!("{row}"));
        cells.map(|cell| cell.trim().to_owned())
    })
    .collect()
}

/// The names of all functions in the sources below `folder`.
fn functions(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("is listed") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                functions(&path, into);
            }
        } else if name.ends_with(".rs") {
            let source = fs::read_to_string(&path).expect("reads");
            for line in source.lines() {
                let line = line.trim_start().trim_start_matches("async ");
                if let Some(rest) = line.strip_prefix("fn ")
                    && let Some((name, _)) = rest.split_once('(')
                {
                    into.insert(name.to_owned());
                }
            }
        }
    }
}

/// C1 to C31, S1 to S34, A1 to A32, M1 to M33, H1 to H52: once each.
#[test]
fn every_need_of_the_five_hosts_has_a_row() {
    let told: Vec<_> = rows().into_iter().map(|[id, ..]| id).collect();
    let hosts = [("C", 31), ("S", 34), ("A", 32), ("M", 33), ("H", 52)];
    let needed: Vec<_> = hosts
        .into_iter()
        .flat_map(|(host, count)| (1..=count).map(move |n| format!("{host}{n}")))
        .collect();
    assert_eq!(needed.len(), 182);
    assert_eq!(told, needed);
}

#[test]
fn every_test_that_a_row_names_is_there() {
    let mut known = BTreeSet::new();
    functions(Path::new(ROOT), &mut known);
    for [id, needed, offered, shown] in rows() {
        assert!(!needed.is_empty() && !offered.is_empty(), "{id}");
        let tests: Vec<_> = shown.split(", ").collect();
        for test in tests {
            let name = test.trim_matches('`');
            assert!(known.contains(name), "{id} names {test}, which is nowhere");
        }
    }
}
