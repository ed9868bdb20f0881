//! UDP sockets with large receive buffers, and what the kernel cuts and drops of them.

use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What one short datagram takes of a receive buffer: the kernel counts its own bookkeeping.
const DATAGRAM_COST: usize = 768;
/// Column of `/proc/net/udp` with the socket's inode, and the one with the datagrams that were dropped.
const INODE: usize = 9;
const DROPS: usize = 12;

/// An open socket, which doesn't block.
#[derive(Debug)]
pub struct Bound {
    pub socket: UdpSocket,
    pub buffer: Buffer,
}

/// Size of a receive buffer in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    pub asked: usize,
    pub granted: usize,
}

impl Buffer {
    /// Short datagrams that may wait in the buffer.
    pub fn datagrams(self) -> usize {
        // The kernel doubles what it grants, to make up for its bookkeeping.
        self.granted.saturating_mul(2) / DATAGRAM_COST
    }

    /// True if the kernel grants less than was asked for.
    pub fn is_cut(self) -> bool {
        self.granted < self.asked
    }
}

impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, granted } = self;
        let waiting = self.datagrams();
        let setting = if cfg!(target_os = "linux") { "net.core.rmem_max" } else { "kern.ipc.maxsockbuf" };
        write!(
            f,
            "the kernel cuts the receive buffer to {granted} of {asked} bytes, so that a burst of more than about \
             {waiting} datagrams loses some: run `sysctl -w {setting}={asked}` on this host (of a container, on its \
             host), and keep it by the line `{setting} = {asked}` in /etc/sysctl.d/90-leasehold.conf"
        )
    }
}

/// Opens a socket whose receive buffer has `buffer` bytes, or as much as the kernel grants. Says so once in the log of
/// a process.
///
/// # Errors
/// Those of the system's calls.
pub fn bind(address: SocketAddr, only_v6: bool, buffer: usize) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    let buffer = Buffer { asked: buffer, granted: grow(&socket, buffer)? };
    if buffer.is_cut() {
        static TOLD: AtomicBool = AtomicBool::new(false);
        if !TOLD.swap(true, Relaxed) {
            tracing::warn!("{buffer}");
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(Bound { socket: socket.into(), buffer })
}

/// The size that the kernel grants.
fn grow(socket: &Socket, wanted: usize) -> io::Result<usize> {
    // Linux cuts what is too large; others refuse it.
    let mut size = wanted;
    while socket.set_recv_buffer_size(size).is_err() && size > DATAGRAM_COST {
        size /= 2;
    }
    let reported = socket.recv_buffer_size()?;
    // A kernel may round up.
    Ok(if cfg!(target_os = "linux") { reported / 2 } else { reported }.min(wanted))
}

/// Number by which the kernel lists the socket.
///
/// # Errors
/// Those of the system's calls.
pub fn inode(socket: &impl AsFd) -> io::Result<u64> {
    Ok(File::from(socket.as_fd().try_clone_to_owned()?).metadata()?.ino())
}

/// Datagrams that the kernel dropped because the receive buffers of these sockets, by inode, were full. `None` if the
/// system doesn't say.
pub fn dropped(inodes: &[u64]) -> Option<u64> {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(fs::read_to_string);
    let tables: Vec<_> = tables.into_iter().flatten().collect();
    (!tables.is_empty()).then(|| tables.iter().map(|table| sum(table, inodes)).sum())
}

fn sum(table: &str, inodes: &[u64]) -> u64 {
    let rows = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        Some((columns.get(INODE)?.parse::<u64>().ok()?, columns.get(DROPS)?.parse::<u64>().ok()?))
    });
    rows.filter(|(inode, _)| inodes.contains(inode)).map(|(_, drops)| drops).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "127.0.0.1:0";

    #[test]
    fn a_buffer_that_the_kernel_cuts_is_noticed_with_the_setting_that_mends_it() {
        // No host allows a gigabyte.
        let asked = 1 << 30;
        let bound = bind(LOCAL.parse().unwrap(), false, asked).unwrap();
        assert!(bound.buffer.is_cut(), "{:?}", bound.buffer);
        let text = bound.buffer.to_string();
        assert!(text.contains(&format!("{} of {asked} bytes", bound.buffer.granted)), "{text}");
        if cfg!(target_os = "linux") {
            assert!(text.contains(&format!("`sysctl -w net.core.rmem_max={asked}`")), "{text}");
        }
        let small = bind(LOCAL.parse().unwrap(), false, 8_192).unwrap();
        assert!(!small.buffer.is_cut(), "{:?}", small.buffer);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn datagrams_that_the_kernel_drops_are_counted_for_their_socket() {
        let [full, other] = [(); 2].map(|()| bind(LOCAL.parse().unwrap(), false, 8_192).unwrap().socket);
        let sender = UdpSocket::bind(LOCAL).unwrap();
        for _ in 0..1_000 {
            sender.send_to(&[0; 256], full.local_addr().unwrap()).unwrap();
        }
        let mut received = 0;
        while full.recv(&mut [0; 256]).is_ok() {
            received += 1;
        }
        let drops = |socket| dropped(&[inode(socket).unwrap()]).unwrap();
        assert_eq!((drops(&full) + received, drops(&other)), (1_000, 0));
    }

    #[test]
    fn the_kernels_table_is_read_by_its_columns() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             1053: 0100007F:2116 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 52721 2 0000000000000000 61\n\
             1054: 00000000:2117 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 52722 2 0000000000000000 7\n\
             garbage\n";
        assert_eq!([&[52_721][..], &[52_721, 52_722], &[61]].map(|inodes| sum(table, inodes)), [61, 68, 0]);
    }
}
