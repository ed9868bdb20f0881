//! Whether machines accept connections, as seen from this computer.

use std::{net::SocketAddr, time::Duration};

use leasehold_client::port;
use tokio::task::JoinSet;

/// Time to connect.
const LIMIT: Duration = Duration::from_secs(5);
/// Connections at a time.
const PARALLEL: usize = 64;

/// True if the endpoint accepts a connection.
pub async fn answers(endpoint: SocketAddr) -> bool {
    port::answers(endpoint, LIMIT).await
}

/// For each endpoint, true if it accepts a connection.
pub async fn all_answer(endpoints: &[SocketAddr]) -> Vec<bool> {
    let mut all = vec![false; endpoints.len()];
    let mut tried = JoinSet::new();
    let mut keep = |done: Option<Result<(usize, bool), _>>| {
        if let Some(Ok((place, answer))) = done
            && let Some(entry) = all.get_mut(place)
        {
            *entry = answer;
        }
    };
    for (place, endpoint) in endpoints.iter().copied().enumerate() {
        if tried.len() >= PARALLEL {
            keep(tried.join_next().await);
        }
        tried.spawn(async move { (place, answers(endpoint).await) });
    }
    while !tried.is_empty() {
        keep(tried.join_next().await);
    }
    all
}

/// For a table.
pub fn yes_or_no(answer: Option<bool>) -> &'static str {
    match answer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_port_answers_if_something_listens_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let many: Vec<_> = [open, closed].into_iter().cycle().take(150).collect();
        let found = all_answer(&many).await;
        assert!(found.iter().enumerate().all(|(place, answer)| *answer == (place % 2 == 0)));
        assert!(all_answer(&[]).await.is_empty());
    }
}
