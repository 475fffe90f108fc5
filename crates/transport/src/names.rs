//! DNS lookups, which concurrent requests to one host share.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use inferstream_core::BoxFuture;
use tokio::sync::watch;

/// The addresses of a host, whose ports are 0, or why the lookup failed.
type Outcome = Result<Vec<SocketAddr>, Arc<io::Error>>;

type Running = HashMap<String, watch::Receiver<Option<Outcome>>>;

type Resolve = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// The lookups of a transport.
///
/// A lookup occupies a thread until the system's resolver returns, even if nothing waits for it any
/// more, and the threads of a runtime are limited. So there is one lookup per host at a time: a name
/// server that never responds does not use up the threads that the lookups of other hosts need.
pub(crate) struct Names {
    running: Arc<Mutex<Running>>,
    resolve: Box<Resolve>,
}

impl Default for Names {
    fn default() -> Self {
        Self::new(|host| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((host, 0)).await?;
                Ok(found.collect())
            })
        })
    }
}

impl Names {
    fn new(
        resolve: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            running: Arc::default(),
            resolve: Box::new(resolve),
        }
    }

    /// Returns the addresses of a host, with the port 0. There may be no address.
    pub(crate) async fn look_up(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, 0)]);
        }
        loop {
            let mut lookup = self.join(host);
            let outcome = match lookup.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone(),
                // The runtime of the lookup has ended.
                Err(_) => None,
            };
            match outcome {
                Some(Ok(addresses)) => return Ok(addresses),
                Some(Err(cause)) => return Err(io::Error::new(cause.kind(), cause)),
                None => {}
            }
        }
    }

    /// Returns the running lookup of a host, or starts one.
    fn join(&self, host: &str) -> watch::Receiver<Option<Outcome>> {
        let mut running = lock(&self.running);
        if let Some(lookup) = running.get(host) {
            if lookup.has_changed().is_ok() {
                return lookup.clone();
            }
        }
        let (sender, lookup) = watch::channel(None);
        running.insert(host.to_owned(), lookup.clone());
        let (all, host) = (Arc::clone(&self.running), host.to_owned());
        let addresses = (self.resolve)(host.clone());
        // A task, because a caller that stops waiting must not end it for the others.
        tokio::spawn(async move {
            let outcome = addresses.await.map_err(Arc::new);
            lock(&all).remove(&host);
            sender.send_replace(Some(outcome));
        });
        lookup
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn},
        net::Ipv4Addr,
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        task::Poll,
    };

    use tokio::{
        runtime::{Builder, Runtime},
        sync::Notify,
        task::JoinSet,
    };

    use super::*;

    const FOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 0);

    /// Lookups that find an address at once; for `silent.test` only after a notification.
    struct Server {
        names: Names,
        lookups: Arc<AtomicUsize>,
        responds: Arc<Notify>,
    }

    fn server() -> Server {
        let (lookups, responds) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, notify) = (Arc::clone(&lookups), Arc::clone(&responds));
        let names = Names::new(move |host| {
            let notify = Arc::clone(&notify);
            count.fetch_add(1, SeqCst);
            Box::pin(async move {
                match &*host {
                    "silent.test" => notify.notified().await,
                    "missing.test" => return Err(io::Error::other("no such host")),
                    _ => {}
                }
                Ok(vec![FOUND])
            })
        });
        Server {
            names,
            lookups,
            responds,
        }
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().build().unwrap()
    }

    /// Polls a lookup once; it must wait.
    async fn begin(names: &Names, host: &str) {
        let mut lookup = pin!(names.look_up(host));
        poll_fn(|cx| {
            assert!(lookup.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn requests_to_one_host_share_a_lookup_and_others_proceed() {
        let Server {
            names,
            lookups,
            responds,
        } = server();
        let names = Arc::new(names);
        let mut waiting = JoinSet::new();
        for _ in 0..200 {
            let names = Arc::clone(&names);
            waiting.spawn(async move { names.look_up("silent.test").await });
        }
        tokio::task::yield_now().await;
        for host in ["one.test", "two.test", "three.test"] {
            assert_eq!(names.look_up(host).await.unwrap(), [FOUND]);
        }
        assert!(waiting.try_join_next().is_none());
        assert_eq!(lookups.load(SeqCst), 4);
        responds.notify_one();
        while let Some(found) = waiting.join_next().await {
            assert_eq!(found.unwrap().unwrap(), [FOUND]);
        }
        assert_eq!(lookups.load(SeqCst), 4);
        assert!(lock(&names.running).is_empty());
    }

    #[tokio::test]
    async fn a_caller_that_stops_waiting_does_not_end_the_lookup() {
        let server = server();
        begin(&server.names, "silent.test").await;
        server.responds.notify_one();
        let found = server.names.look_up("silent.test").await;
        assert_eq!(found.unwrap(), [FOUND]);
        assert_eq!(server.lookups.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failed_lookup_is_repeated_by_the_next_request() {
        let server = server();
        for count in 1..3 {
            let error = server.names.look_up("missing.test").await.unwrap_err();
            assert_eq!(error.to_string(), "no such host");
            assert_eq!(server.lookups.load(SeqCst), count);
        }
    }

    #[tokio::test]
    async fn an_address_needs_no_lookup() {
        let names = Names::new(|_| Box::pin(pending()));
        assert_eq!(names.look_up("192.0.2.1").await.unwrap(), [FOUND]);
        assert_eq!(names.look_up("::1").await.unwrap().len(), 1);
    }

    #[test]
    fn a_lookup_whose_runtime_ended_is_started_again() {
        let server = server();
        runtime().block_on(begin(&server.names, "silent.test"));
        server.responds.notify_one();
        let found = runtime().block_on(server.names.look_up("silent.test"));
        assert_eq!(found.unwrap(), [FOUND]);
        assert_eq!(server.lookups.load(SeqCst), 2);
    }
}
