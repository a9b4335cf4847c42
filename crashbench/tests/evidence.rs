//! `docs/EVIDENCE.md` and its plot say what the kept results say, and nothing else.

use crashbench::results::Results;
use crashbench::{plot, table};
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn results() -> Results {
    Results::load(&root().join("results/linux.json")).expect("the kept results")
}

#[test]
fn the_table_in_the_document_is_the_one_that_the_command_makes() {
    let document = std::fs::read_to_string(root().join("../docs/EVIDENCE.md")).expect("a document");
    let shown = table::between_marks(&document).expect("the marks of the table");
    assert_eq!(
        shown,
        table::markdown(&results()),
        "run the commands that the section begins with"
    );
}

#[test]
fn the_plot_beside_it_is_the_one_that_the_command_makes() {
    let shown = std::fs::read_to_string(root().join("../docs/crashbench.svg")).expect("a plot");
    assert_eq!(shown, plot::svg(&results()).expect("a plot"));
}
