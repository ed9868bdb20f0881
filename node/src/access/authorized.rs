//! Answers whether a key is the tenant's, from memory.
//!
//! `leasehold-authorized-keys` sends the 32 bytes of the offered key's SHA-256 through a Unix socket and reads one byte: 1
//! if that key is let in. This is no proof of a login, since `sshd` asks before it has seen a signature.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Time for a question: whoever is in the tenant's namespaces can connect.
const QUESTION: Duration = Duration::from_secs(5);
/// Questions of one lease at a time.
const QUESTIONS: usize = 64;
/// Pause after a failure to accept, which may be for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that answers for one lease. Dropping it closes the socket at once.
#[derive(Debug)]
pub(super) struct Answers {
    path: PathBuf,
    valid_until: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Answers {
    /// Begins to answer for the key with hash `access`. `clock` says the Unix seconds.
    pub fn start(path: &Path, access: [u8; 32], valid_until: u64, clock: fn() -> u64) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let valid_until = Arc::new(AtomicU64::new(valid_until));
        let end = valid_until.clone();
        let is_let_in = move |offered: &[u8; 32]| *offered == access && clock() < end.load(Relaxed);
        let task = tokio::spawn(accept(listener, is_let_in));
        Ok(Self { path: path.to_owned(), valid_until, task })
    }

    pub fn set_valid_until(&self, valid_until: u64) {
        self.valid_until.store(valid_until, Relaxed);
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.task.abort();
        // Whoever connects to a file that is left is refused.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, is_let_in: impl Fn(&[u8; 32]) -> bool + Clone + Send + 'static) {
    let room = Arc::new(Semaphore::new(QUESTIONS));
    // Answers under way end with this task.
    let mut questions = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        while questions.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let is_let_in = is_let_in.clone();
                questions.spawn(async move {
                    let _ = timeout(QUESTION, answer(stream, is_let_in)).await;
                    drop(place);
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn answer(mut stream: UnixStream, is_let_in: impl Fn(&[u8; 32]) -> bool) -> io::Result<()> {
    let mut offered = [0; 32];
    stream.read_exact(&mut offered).await?;
    stream.write_all(&[u8::from(is_let_in(&offered))]).await
}
