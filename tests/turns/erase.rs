//! Erased is erased: found by searching the files, byte for byte.

use super::{Host, code};
use std::sync::Arc;
use turnkeep::{Hit, Input, search_on};

impl Host {
    fn search(&self, needle: &str) -> Vec<Hit> {
        let disk = Arc::new(self.disk.clone());
        search_on(disk, super::PATH, needle).expect("can be searched")
    }
}

/// hermes' journals stood in plain text after the session was deleted.
#[test]
fn what_was_erased_is_in_no_file() {
    let mut host = Host::new();
    // Text that compresses well: a pack does not hold it as it is.
    let secret = |what: &str| format!("the {what} secret, {}", "again and again, ".repeat(40));
    let session = host.session();
    session.append("note", secret("cleared")).expect("is kept");
    session
        .put("key of a secret", secret("value"))
        .expect("is put");
    let doomed = host.journal().session("a secret name").expect("opens");
    let turn = doomed
        .begin(Input::user(secret("deleted")).key("k"))
        .expect("begins");
    turn.call("call", "tool", secret("call")).expect("calls");
    let input = Input::new("a secret class", secret("queued"));
    doomed.enqueue(input).expect("is queued");
    let kept = host.journal().session("kept").expect("opens");
    kept.append("note", secret("kept")).expect("is kept");
    let claim = doomed
        .claim("a secret owner")
        .expect("claims")
        .expect("waits");
    std::mem::forget(claim);
    host.packed();
    let needles = [
        "cleared secret",
        "value secret",
        "deleted secret",
        "call secret",
    ];
    let more = [
        "queued secret",
        "a secret name",
        "a secret class",
        "a secret owner",
    ];
    let needles = needles.iter().chain(&more).chain(&["key of a secret"]);
    for needle in needles.clone() {
        let hits = host.search(needle);
        assert!(!hits.is_empty(), "{needle} was there");
        assert!(
            hits.iter().any(|hit| hit.file.ends_with(".pack")),
            "{needle}"
        );
    }
    host.session().clear().expect("is cleared");
    host.journal()
        .find("a secret name")
        .expect("is there")
        .delete()
        .expect("is deleted");
    host.journal().compact().expect("compacts");
    for needle in needles {
        assert_eq!(host.search(needle), [], "{needle}");
    }
    assert!(!host.search("kept secret").is_empty());
    // Nor does it come back, whatever crash and compaction come.
    for crash in [Host::killed, Host::lost_power, Host::packed] {
        crash(&mut host);
        assert_eq!(host.search("deleted secret"), []);
        let found = host.journal().find("a secret name");
        assert_eq!(code(found), "session_deleted");
        assert!(host.journal().pending().expect("lists").is_empty());
    }
}

#[test]
fn bytes_across_windows_and_odd_needles_are_found() {
    let host = Host::with(|options| options.segment_bytes(4 << 20).first_segment_bytes(4 << 20));
    let session = host.session();
    // Wherever windows of a mebibyte begin and end, it stands across one of their edges.
    for n in 0..40 {
        let mut content = vec![b'.'; 60_000 + n * 977];
        content.extend_from_slice(format!("needle {n} ").as_bytes());
        session.append("note", content).expect("is kept");
    }
    for n in (0..40).step_by(4) {
        assert_eq!(host.search(&format!("needle {n} ")).len(), 1, "{n}");
    }
    let disk = || Arc::new(host.disk.clone());
    assert_eq!(code(search_on(disk(), super::PATH, "")), "invalid");
    assert_eq!(
        code(search_on(disk(), super::PATH, vec![0; 2 << 20])),
        "invalid"
    );
    assert_eq!(code(search_on(disk(), "/nowhere", "x")), "not_found");
    assert_eq!(
        search_on(disk(), super::PATH, ".").expect("searches").len(),
        1000
    );
}
