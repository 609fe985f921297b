//! The `bryo` program: everything is in the library.

fn main() -> std::process::ExitCode {
    bryo::cli::main()
}
