//! Background tasks without which a daemon must not go on.

use futures::FutureExt;
use std::fmt;
use std::panic::AssertUnwindSafe;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

/// A background task ended though nobody had stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {name} {how}, and nothing does its work any more: start the daemon again, and please report the log lines before \
     this one"
)]
pub struct TaskEnded {
    pub name: &'static str,
    how: &'static str,
}

impl TaskEnded {
    /// A task that is known to have ended, and not why.
    pub fn by_itself(name: &'static str) -> Self {
        Self { name, how: "ended by itself" }
    }
}

/// Waits until `stop` is true or its sender is dropped.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender was dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Background tasks. Dropping it stops them at once.
pub struct Tasks {
    running: JoinSet<()>,
    stopped: watch::Receiver<bool>,
    ended: watch::Sender<Option<TaskEnded>>,
}

impl Tasks {
    /// Tasks that may end once `stopped` is true or its sender is dropped, and not before.
    pub fn new(stopped: watch::Receiver<bool>) -> Self {
        Self { running: JoinSet::new(), stopped, ended: watch::Sender::default() }
    }

    /// Begins a task. `name` says what it does, as in "follower of logs".
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let guarded = self.guard(name, task);
        self.running.spawn(guarded);
    }

    /// Begins a task on another runtime.
    pub fn spawn_on(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
        runtime: &Handle,
    ) {
        let guarded = self.guard(name, task);
        self.running.spawn_on(guarded, runtime);
    }

    /// Waits until a task has ended though nobody had stopped it.
    pub fn ended(&self) -> impl Future<Output = TaskEnded> + Send + use<> {
        let mut ended = self.ended.subscribe();
        async move {
            match ended.wait_for(Option::is_some).await.ok().and_then(|ended| *ended) {
                Some(ended) => ended,
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until all tasks have ended.
    pub async fn join(&mut self) {
        while self.running.join_next().await.is_some() {}
    }

    /// Ends all tasks at once, and waits until they have.
    pub async fn shutdown(&mut self) {
        self.running.shutdown().await;
    }

    fn guard<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        task: F,
    ) -> impl Future<Output = ()> + Send + use<F> {
        let (stopped, all_ended) = (self.stopped.clone(), self.ended.clone());
        async move {
            let ended = match AssertUnwindSafe(task).catch_unwind().await {
                Err(_) => TaskEnded { name, how: "panicked" },
                Ok(()) if is_stopped(&stopped) => return,
                Ok(()) => TaskEnded::by_itself(name),
            };
            error!("{ended}");
            all_ended.send_if_modified(|first| first.replace(ended).is_none());
        }
    }
}

fn is_stopped(stopped: &watch::Receiver<bool>) -> bool {
    *stopped.borrow() || stopped.has_changed().is_err()
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tasks({})", self.running.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::time::{Duration, timeout};

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn stop_of(mut stopped: watch::Receiver<bool>) {
        let _ = stopped.wait_for(|stop| *stop).await;
    }

    #[tokio::test]
    async fn a_task_that_panics_or_returns_is_told_by_name() {
        let (_stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::new(stopped);
        let ended = tasks.ended();
        tasks.spawn("patient task", pending());
        tasks.spawn("follower of logs", async { panic!("a bug") });
        let told = timeout(PATIENCE, ended).await.unwrap();
        assert_eq!(told, TaskEnded { name: "follower of logs", how: "panicked" });
        assert!(told.to_string().starts_with("the follower of logs panicked, and nothing does its work"));
        assert_eq!(timeout(PATIENCE, tasks.ended()).await.unwrap(), told, "who asks late is told too");

        let (_stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::new(stopped);
        tasks.spawn_on("sealer", ready(()), &Handle::current());
        assert_eq!(timeout(PATIENCE, tasks.ended()).await.unwrap().how, "ended by itself");
    }

    #[tokio::test]
    async fn a_task_that_is_stopped_or_aborted_is_no_failure() {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::new(stopped.clone());
        tasks.spawn("sealer", stop_of(stopped));
        let ended = tasks.ended();
        stop.send_replace(true);
        timeout(PATIENCE, tasks.join()).await.unwrap();
        assert_eq!(ended.now_or_never(), None);

        let (stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::new(stopped.clone());
        tasks.spawn("sealer", stop_of(stopped));
        tasks.spawn("patient task", pending());
        let ended = tasks.ended();
        drop(stop);
        timeout(PATIENCE, tasks.shutdown()).await.unwrap();
        assert_eq!(ended.now_or_never(), None);
    }

    #[tokio::test]
    async fn a_task_that_panics_while_it_stops_is_told() {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::new(stopped.clone());
        tasks.spawn("sealer", async move {
            stop_of(stopped).await;
            panic!("a bug")
        });
        stop.send_replace(true);
        timeout(PATIENCE, tasks.join()).await.unwrap();
        assert!(tasks.ended().now_or_never().is_some());
    }
}
