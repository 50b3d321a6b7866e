//! CSI driver of the lab: loop devices over reflinked files

fn main() {}
