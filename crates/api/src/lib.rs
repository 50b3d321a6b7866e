//! Custom resources of Longshore and the few foreign ones it uses
