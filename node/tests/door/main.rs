//! Tenants log in through the Door, with OpenSSH on both sides. Needs root, `sshd` and `ssh`.

mod bounds;
mod ends;
mod forward;
mod host;
mod keys;
mod login;
mod restart;
mod stage;
