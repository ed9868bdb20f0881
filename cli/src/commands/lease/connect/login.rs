//! How to log in to the machines of a lease.

use std::str::FromStr;

/// Login settings, which are not on the chain.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: Option<User>,
    pub port: u16,
    pub identity: Option<Identity>,
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

/// Private key file, whose path has no characters that ssh, Ansible or Ray expand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(pub String);

impl FromStr for Identity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expanded = |character: char| character.is_control() || "\"'\\`$%{}".contains(character);
        let good = !text.is_empty() && !text.starts_with('-') && !text.contains(expanded);
        good.then(|| Identity(text.to_owned())).ok_or("use a path without quotes, \\, $, %, { and }")
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
        for good in ["~/.ssh/id_ed25519", "/home/me/my keys/id", "k\u{fc}b"] {
            assert_eq!(good.parse(), Ok(Identity(good.to_owned())));
        }
        for wrong in ["", "-x", "a\nb", "a\"b", "a'b", "$HOME/id", "%d/id", "a\\b", "{{a}}", "`a`"] {
            assert!(wrong.parse::<Identity>().is_err(), "{wrong:?}");
        }
    }
}
