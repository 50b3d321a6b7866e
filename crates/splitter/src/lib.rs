//! Content-defined splitting of volumes and files
