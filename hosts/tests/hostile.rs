//! Files that were made to harm an import, one kind a test: each becomes a refusal with a code or
//! a counted finding, nothing of it is lost, and the file beside it is imported as ever.

mod support;

use support::{Bench, codes, refused, report};
use turnkeep_hosts::transcripts::lines::RawLines;

const ID: &str = "0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01";

fn user(text: &str) -> String {
    format!(
        "{{\"type\":\"user\",\"sessionId\":\"{ID}\",\"uuid\":\"u\",\"message\":{{\"role\":\"user\",\
         \"content\":\"{text}\"}}}}\n"
    )
}

fn sidecar(id: &str, rest: &str) -> String {
    format!("{{\"session_id\":\"{id}\",\"workspace\":\"/w\",{rest}}}")
}

/// A transcript and a sidecar that are as they should be, among whatever else.
fn innocent(bench: &Bench) {
    bench.write(&format!("p/{ID}.jsonl"), user("hi"));
    let whole = sidecar(
        "innocent",
        "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]",
    );
    bench.write("s/innocent.json", whole);
}

fn assert_innocent(bench: &Bench) {
    bench.assert_comes_back(ID, &format!("p/{ID}.jsonl"));
    bench.assert_comes_back("innocent", "s/innocent.json");
}

#[test]
fn json_of_any_depth_is_read_or_kept_and_never_ends_the_import() {
    let bench = Bench::new();
    innocent(&bench);
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(500_000), "}".repeat(500_000));
    let files = [
        (
            "s/deep1.json",
            sidecar("deep1", &format!("\"messages\":[{deep}]")),
            "document.deep",
        ),
        (
            "s/deep2.json",
            sidecar("deep2", &format!("\"x\":{objects},\"messages\":[]")),
            "document.deep",
        ),
        (
            "s/deep3.json",
            sidecar("deep3", &format!("\"messages\":[{}", &deep[..999])),
            "document.not_json",
        ),
    ];
    for (file, content, _) in &files {
        bench.write(file, content);
    }
    let lines = "p/1b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01.jsonl";
    let content = format!(
        "{}{{\"sessionId\":\"x\",\"type\":\"user\",\"x\":{deep}}}\n{}\n",
        user("a"),
        &deep[..99999]
    );
    bench.write(lines, content);
    let imported = bench.import_twice();
    for (file, _, code) in &files {
        assert!(codes(&imported, file).contains(code), "{file}");
    }
    bench.assert_comes_back("deep1", "s/deep1.json");
    bench.assert_comes_back("deep2", "s/deep2.json");
    bench.assert_comes_back("quarantine/s/deep3.json", "s/deep3.json");
    let damaged = &report(&imported, lines).damaged;
    assert_eq!(damaged.len(), 1);
    assert_eq!((damaged[0].line, damaged[0].code), (3, "line.torn"));
    bench.assert_comes_back("1b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01", lines);
    assert_innocent(&bench);
}

/// A line of a gigabyte comes in pieces of which none is larger than the limit, and what is read
/// is never held as a whole.
#[test]
fn a_line_of_a_gigabyte_comes_in_pieces() {
    use std::io::{BufReader, Read};
    let gigabyte = std::io::repeat(b'x').take(1 << 30);
    let reader = BufReader::with_capacity(
        1 << 20,
        (&b"{}\n"[..]).chain(gigabyte).chain(&b"\n{}\n"[..]),
    );
    let (mut bytes, mut last) = (0_u64, 0);
    for line in RawLines::new(reader, 16 << 20) {
        let line = line.expect("memory does not fail");
        assert!(line.bytes.len() <= 16 << 20);
        assert!(line.bytes.capacity() <= 16 << 20);
        (bytes, last) = (bytes + line.bytes.len() as u64, line.number);
    }
    assert_eq!((bytes, last), ((1 << 30) + 7, 3));
}

#[test]
fn bytes_that_are_no_text_stay_where_they_are() {
    let mut bench = Bench::new();
    bench.limits = bench.limits.line_bytes(1 << 20);
    innocent(&bench);
    let mut lines = Vec::new();
    let cases: [(&[u8], &str); 6] = [
        (b"{\"type\":\"user\",\"x\":\"\xFF\xFE\"}", "line.not_utf8"),
        (b"\0\0\0\0\0\0\0\0", "line.nul"),
        (b"{\"type\":\"user\",\"x\":\"\0\"}", "line.nul"),
        (b"\xEF\xBB\xBF{\"type\":\"user\"}", "line.not_json"),
        ("\u{2028}".as_bytes(), "line.not_json"),
        (&[b'x'; 3 << 20], "line.too_long"),
    ];
    for (bytes, _) in cases {
        lines.extend(user("before").bytes());
        lines.extend(bytes);
        lines.push(b'\n');
    }
    lines.extend(user("separated\u{2028}by\u{2029}every\u{85}thing").bytes());
    let file = "p/1b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01.jsonl";
    bench.write(file, &lines);
    // A mark at the start of a file is no damage, of lines or of a document.
    let marked = "p/2b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01.jsonl";
    bench.write(marked, format!("\u{FEFF}{}", user("hi")));
    let document = sidecar("marked", "\"messages\":[\"\u{2028}\",\"\u{85}\"]");
    bench.write("s/marked.json", format!("\u{FEFF}{document}\r\n"));
    bench.write(
        "s/wide.json",
        "{\"session_id\":\"wide\",\"messages\":\"\u{0}".repeat(3),
    );
    let imported = bench.import_twice();
    let found: Vec<_> = report(&imported, file)
        .damaged
        .iter()
        .map(|d| d.code)
        .collect();
    assert_eq!(found, cases.map(|(_, code)| code));
    assert_eq!(report(&imported, file).lines, 13);
    assert_eq!(report(&imported, marked).damaged_lines(), 0);
    assert_eq!(codes(&imported, "s/marked.json"), [""; 0]);
    bench.assert_comes_back("1b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01", file);
    bench.assert_comes_back("2b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01", marked);
    bench.assert_comes_back("marked", "s/marked.json");
    assert_innocent(&bench);
}

/// Ids, names and roles in a file are not ours: the journal's limits are not theirs to break.
#[test]
fn ids_and_names_of_ten_kilobytes_become_ids_that_differ() {
    let bench = Bench::new();
    innocent(&bench);
    let long = |last: &str| format!("{}{last}", "é".repeat(5_000));
    let [a, b] = [long("a"), long("b")];
    let message = format!(
        "\"messages\":[{{\"role\":\"{a}\",\"content\":\"x\",\"timestamp\":\"{a}\",\"id\":\"{b}\"}}]"
    );
    bench.write("s/one.json", sidecar(&a, &message));
    bench.write("s/two.json", sidecar(&b, &message));
    bench.write(
        ".claudelet/queues/q.json",
        format!("[{{\"id\":\"{a}\",\"text\":\"{b}\",\"priority\":\"{a}\"}},{{\"id\":\"{b}\",\"text\":\"x\"}}]"),
    );
    let line = format!(
        "{{\"type\":\"{a}\",\"sessionId\":\"{b}\",\"uuid\":\"{a}\",\"message\":{{\"role\":\"{a}\",\"content\":\"x\"}}}}\n"
    );
    bench.write("p/long.jsonl", &line);
    drop(bench.database(
        "m/claude-mem.db",
        &format!(
            "CREATE TABLE user_prompts(id TEXT PRIMARY KEY, content_session_id TEXT, prompt_text TEXT);
             INSERT INTO user_prompts VALUES ('{a}','{a}','one'),('{b}','{a}','two'),('{a}x','{b}','three');"
        ),
    ));
    let imported = bench.import_twice();
    let sessions = [
        &report(&imported, "s/one.json").session,
        &report(&imported, "s/two.json").session,
    ];
    assert_ne!(sessions[0], sessions[1]);
    assert!(sessions.iter().all(|id| id.len() < 512));
    for (session, file) in sessions.into_iter().zip(["s/one.json", "s/two.json"]) {
        bench.assert_comes_back(session, file);
    }
    bench.assert_comes_back(&report(&imported, "p/long.jsonl").session, "p/long.jsonl");
    assert_eq!(bench.pending().len(), 2);
    assert_eq!(report(&imported, "m/claude-mem.db").sessions, Some(2));
    bench.assert_rows_come_back("m/claude-mem.db");
    assert_innocent(&bench);
}

#[cfg(unix)]
#[test]
fn links_pipes_and_sockets_are_refused_and_not_waited_for() {
    use std::os::unix::fs::symlink;
    let bench = Bench::new();
    innocent(&bench);
    bench.write("../outside.jsonl", user("outside"));
    let at = |name: &str| bench.path(name);
    symlink("../outside.jsonl", at("out.jsonl")).expect("links");
    symlink("loop.jsonl", at("loop.jsonl")).expect("links");
    symlink("..", at("p/up")).expect("links");
    symlink("/dev/zero", at("zero.jsonl")).expect("links");
    symlink("/dev/zero", at("s/zero.json")).expect("links");
    symlink("/etc", at("s/etc")).expect("links");
    let pipe = |name: &str| {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, at(name), FileType::Fifo, Mode::from(0o600), 0).expect("makes");
    };
    pipe("pipe.jsonl");
    pipe("s/pipe.json");
    let _socket = std::os::unix::net::UnixListener::bind(at("s/socket.json")).expect("binds");
    let imported = bench.import_twice();
    let links = [
        "out.jsonl",
        "loop.jsonl",
        "p/up",
        "zero.jsonl",
        "s/zero.json",
        "s/etc",
    ];
    for name in links {
        assert_eq!(refused(&imported, name), "file.symbolic_link", "{name}");
    }
    for name in ["pipe.jsonl", "s/pipe.json", "s/socket.json"] {
        assert_eq!(refused(&imported, name), "file.not_regular", "{name}");
    }
    assert!(!bench.journal_holds(b"outside"));
    assert_eq!(bench.sessions().len(), 2);
    assert_innocent(&bench);
}

/// Something that took a file's place after the folder was listed.
#[cfg(unix)]
#[test]
fn a_file_that_becomes_a_link_before_it_is_read_is_refused() {
    use turnkeep_hosts::{detect::survey, importer::Importer};
    let bench = Bench::new();
    innocent(&bench);
    let path = bench.write("s/swapped.json", sidecar("swapped", "\"messages\":[]"));
    bench.write("../secret.json", sidecar("secret", "\"messages\":[]"));
    let seen = survey(&bench.root(), None, &bench.limits).expect("there is a folder");
    std::fs::remove_file(&path).expect("removes");
    std::os::unix::fs::symlink("../../secret.json", &path).expect("links");
    let journal = bench.journal();
    let importer = Importer::new(&journal, bench.limits).expect("the journal is sound");
    let imported = importer
        .run(&seen, &mut |_| {})
        .expect("the journal is sound");
    assert_eq!(refused(&imported, "s/swapped.json"), "file.unreadable");
    assert!(journal.find("secret").is_err());
    journal.close().expect("closes");
}

#[test]
fn what_is_beyond_a_limit_is_refused_or_kept_verbatim_and_told() {
    let mut bench = Bench::new();
    innocent(&bench);
    let large = sidecar(
        "large",
        &format!("\"messages\":[\"{}\"]", "x".repeat(3 << 20)),
    );
    bench.write("s/large.json", &large);
    let framed = sidecar(
        "framed",
        &format!("\"x\":\"{}\",\"messages\":[1]", "x".repeat(1 << 20)),
    );
    bench.write("s/framed.json", &framed);
    bench.write("p/huge.jsonl", user(&"x".repeat(5 << 20)));
    bench.write(&format!("{}f.json", "d/".repeat(10)), "{}");
    bench.limits = bench
        .limits
        .document_bytes(2 << 20)
        .frame_bytes(1 << 20)
        .file_bytes(4 << 20)
        .folder_depth(9);
    let imported = bench.import_twice();
    assert_eq!(codes(&imported, "s/large.json"), ["document.too_large"]);
    assert_eq!(codes(&imported, "s/framed.json"), ["document.too_large"]);
    assert_eq!(refused(&imported, "p/huge.jsonl"), "file.too_large");
    assert_eq!(refused(&imported, "d/d/d/d/d/d/d/d/d/d"), "folder.too_deep");
    bench.assert_comes_back("quarantine/s/large.json", "s/large.json");
    bench.assert_comes_back("quarantine/s/framed.json", "s/framed.json");
    let failures = imported.refused.iter().filter(|refusal| refusal.is_failure);
    assert_eq!(failures.count(), 2);
    assert_innocent(&bench);
}

/// Statements in a journal may be anybody's: none but those that make tables and indexes is run.
#[test]
fn a_schema_with_more_in_it_than_tables_makes_nothing_but_tables() {
    let bench = Bench::new();
    let host = bench.database(
        "m/claude-mem.db",
        "CREATE TABLE user_prompts(id INTEGER PRIMARY KEY, content_session_id TEXT, prompt_text TEXT);
         CREATE TABLE \"odd \"\"name\"(\"select\" TEXT, \"\" INTEGER);
         INSERT INTO \"odd \"\"name\" VALUES ('x', 1);
         INSERT INTO user_prompts VALUES (1,'c','hi');
         CREATE VIEW every AS SELECT * FROM user_prompts;
         CREATE TRIGGER bomb AFTER INSERT ON user_prompts BEGIN DELETE FROM user_prompts; END;",
    );
    drop(host);
    bench.import_twice();
    bench.assert_rows_come_back("m/claude-mem.db");
    let (folder, _) = bench.export_all();
    let again = rusqlite::Connection::open(folder.path().join("m/claude-mem.db")).expect("opens");
    let others = "SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table','index')";
    let others = again.query_row(others, [], |row| row.get::<_, i64>(0));
    assert_eq!(others.expect("counts"), 0);
}

/// Ids may be anything that a string can hold, and a parent anything at all.
#[test]
fn odd_ids_and_parents_that_go_in_circles_end_no_import() {
    let bench = Bench::new();
    innocent(&bench);
    let child = |id: &str, parent: &str| {
        let parent = format!("\"parent_session_id\":\"{parent}\",\"messages\":[\"{id}\"]");
        sidecar(id, &parent)
    };
    let files = [
        ("s/own.json", child("own", "own")),
        ("s/left.json", child("left", "right")),
        ("s/right.json", child("right", "left")),
        ("s/nul.json", child("a\\u0000b", "\\n")),
        ("s/dots.json", child("..", "/")),
        ("s/none.json", child("", "")),
        ("s/taken.json", child("own/state.db", "own#2")),
        ("s/internal.json", child("quarantine", "state.db/tables")),
    ];
    for (file, content) in &files {
        bench.write(file, content);
    }
    let imported = bench.import_twice();
    for (file, _) in &files {
        let session = &report(&imported, file).session;
        bench.assert_comes_back(session, file);
    }
    assert_innocent(&bench);
}
