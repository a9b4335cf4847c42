//! Runs a target on one file: `cargo run --no-default-features --bin replay -- ops FILE`.
//! With `TURNKEEP_STORY=1` the `ops` target tells each operation.

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(target), Some(file)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: replay TARGET FILE");
        std::process::exit(2);
    };
    let input = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    turnkeep_fuzz::run(&target, &input);
    println!("{target} holds for {file}");
}
