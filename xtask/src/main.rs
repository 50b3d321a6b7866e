//! The project's own commands: lab, test, demo, tidy

fn main() {}
