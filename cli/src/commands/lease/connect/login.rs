//! How the machines of a lease are logged in to, as it was told on the command line.

use std::str::FromStr;

/// What the chain doesn't know.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: Option<User>,
    pub port: u16,
    pub identity: Option<Identity>,
}

/// A name to log in by, which no file or shell takes for anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(pub String);

impl FromStr for User {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let good = text.bytes().all(plain) && !text.is_empty() && !text.starts_with('-');
        good.then(|| User(text.to_owned())).ok_or("give a name of letters, digits, points, _ and -")
    }
}

/// File of a private key. ssh, Ansible and Ray each expand other characters of a path: none of those is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(pub String);

impl FromStr for Identity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expanded = |character: char| character.is_control() || "\"'\\`$%{}".contains(character);
        let good = !text.is_empty() && !text.starts_with('-') && !text.contains(expanded);
        good.then(|| Identity(text.to_owned())).ok_or("give a path without quotes, \\, $, %, { and }")
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
