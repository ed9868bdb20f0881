//! A network that rooms are on.

use std::{io, path::Path, process::Command};

/// A bridge in a namespace of its own. It ends with the rooms.
pub struct Switch {
    /// A process in the namespace.
    pid: String,
}

impl Switch {
    pub(super) fn begin(folder: &Path) -> io::Result<Self> {
        run(&mut Command::new(folder.join("switch")))?;
        let pid = std::fs::read_to_string(folder.join("switch.pid"))?;
        Ok(Self { pid: pid.trim().to_owned() })
    }

    /// Address of a machine's room on the network.
    pub fn address(slot: u16) -> String {
        format!("10.213.0.{}", u32::from(slot) + 1)
    }

    /// Disconnects a machine's room, or connects it again.
    ///
    /// # Errors
    /// If it has no room on the network.
    pub fn set_connected(&self, slot: u16, connected: bool) -> io::Result<()> {
        let state = if connected { "up" } else { "down" };
        run(&mut self.ip(&["link", "set", &format!("port{slot}"), state])).map(drop)
    }

    /// Names of the ports to rooms: a port lives as long as the room's network namespace.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn ports(&self) -> io::Result<Vec<String>> {
        let links = run(&mut self.ip(&["-brief", "link", "show", "type", "veth"]))?;
        let names = links.lines().filter_map(|line| line.split(['@', ' ']).next());
        Ok(names.map(str::to_owned).collect())
    }

    fn ip(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid, "-n", "ip"]).args(arguments);
        command
    }
}

fn run(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
