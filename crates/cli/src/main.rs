//! The engine on the command line and the mover entry point

fn main() {}
