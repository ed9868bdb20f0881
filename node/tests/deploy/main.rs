//! The profiles and the Debian package, as they are installed.

mod container;
mod host;
mod package;
