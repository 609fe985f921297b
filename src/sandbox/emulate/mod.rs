//! Emulation of root: what the calls of a process that is no real root would have done.

#[expect(dead_code)]
mod layout;
#[expect(dead_code)]
mod tables;
