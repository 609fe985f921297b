//! Changes of credentials, step by step as the kernel made them.
