//! The `turnkeep` command. Everything is in the library beside it.

fn main() -> std::process::ExitCode {
    turnkeep_cli::main()
}
