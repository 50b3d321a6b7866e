//! Reading and writing volumes: block devices, images and file trees
