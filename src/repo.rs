//! Git: the only user of git2.
