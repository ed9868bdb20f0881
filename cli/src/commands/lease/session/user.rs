//! How to log in to the machines of a lease.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueHint};

use crate::commands::lease::keys::HomeArgs;

#[derive(Args, Clone, Debug)]
pub struct LoginArgs {
    /// User name to log in with: on a leased machine you are root, in namespaces or a virtual machine of your own.
    #[arg(short = 'l', long, value_name = "NAME", default_value = "root")]
    pub user: User,
    /// Private key file to log in with [default: the lease's key, or the one below ~/.ssh that the lease names]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub identity: Option<PathBuf>,
    #[command(flatten)]
    pub home: HomeArgs,
}

/// A user name that is safe in files and shells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(pub String);

impl FromStr for User {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let good = text.bytes().all(plain) && !text.is_empty() && !text.starts_with('-');
        good.then(|| User(text.to_owned())).ok_or("use letters, digits, points, _ and - only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_or_shell_would_take_for_something_else_is_refused() {
        for good in ["ubuntu", "a.b_c-1"] {
            assert_eq!(good.parse(), Ok(User(good.to_owned())));
        }
        for wrong in ["", "-oProxyCommand=x", "a b", "a\nb", "a@b", "a;b", "{{a}}", "a\"", "\u{fc}"] {
            assert!(wrong.parse::<User>().is_err(), "{wrong:?}");
        }
    }
}
