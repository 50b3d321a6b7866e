//! The Longshore controllers

fn main() {}
