//! Volumes as the kernel has them: real images, real trees, real loop devices.

mod block;
mod tree;
