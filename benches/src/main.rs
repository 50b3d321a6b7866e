//! Whole-pipeline comparisons with other engines

fn main() {}
