//! Emulation of root: what the calls of a process that is no real root would have done.

#[cfg_attr(not(test), expect(dead_code))]
mod acl;
#[cfg_attr(not(test), expect(dead_code))]
mod control;
#[expect(dead_code)]
mod layout;
#[expect(dead_code)]
mod tables;
