//! `docs/AUDIT.md` lists exactly the codes that there are, with what the code says of them.

use turnkeep::audit::Code;

#[test]
fn the_document_lists_every_code_and_no_other() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/AUDIT.md");
    let document = std::fs::read_to_string(document).expect("the document is there");
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.filter(|row| row.contains('.') && row.matches('|').count() == 6);
    let told: Vec<Vec<String>> = rows
        .map(|row| {
            let cells = row.trim_matches('|').split('|');
            cells
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect()
        })
        .collect();
    let known: Vec<[String; 4]> = Code::ALL
        .iter()
        .map(|code| {
            [
                code.as_str().to_owned(),
                code.severity().to_string(),
                code.category().to_string(),
                code.todo().to_owned(),
            ]
        })
        .collect();
    let told: Vec<[String; 4]> = told
        .into_iter()
        .map(|cells| [0, 1, 2, 4].map(|at| cells[at].clone()))
        .collect();
    for row in &known {
        assert!(told.contains(row), "not in the document: {row:?}");
    }
    for row in &told {
        assert!(known.contains(row), "not in the code: {row:?}");
    }
    assert_eq!(told.len(), known.len(), "a code is listed twice");
}
