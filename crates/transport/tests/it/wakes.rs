//! Wake-ups: the network wakes the task, and the task does not wake itself.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use inferstream_transport::{Body, HttpTransport, Transport};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{Notify, mpsc},
};

use crate::server::{fetch, listen, post, read, read_request, transport};

/// How many chunks a response has.
const CHUNKS: usize = 50;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// A task that counts its wake-ups.
#[derive(Default)]
struct Task {
    is_polled: AtomicBool,
    /// Wake-ups that came while the task was polled.
    own: AtomicUsize,
    others: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let count = if self.is_polled.load(SeqCst) {
            &self.own
        } else {
            &self.others
        };
        count.fetch_add(1, SeqCst);
        let waker = self.waker.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Task {
    /// Waits for a future, of which this is the task.
    async fn run<T>(self: &Arc<Self>, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|cx| self.poll(cx, |cx| future.as_mut().poll(cx))).await
    }

    fn poll<T>(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        *self.waker.lock().unwrap() = Some(cx.waker().clone());
        let waker = Waker::from(Arc::clone(self));
        self.is_polled.store(true, SeqCst);
        let polled = poll(&mut Context::from_waker(&waker));
        self.is_polled.store(false, SeqCst);
        polled
    }
}

/// Serves one response after another: its chunks, each after a permit of `next`.
async fn chunks(mut socket: TcpStream, next: Arc<Notify>) {
    while read_request(&mut socket).await.is_some() {
        let _ = socket.set_nodelay(true);
        let _ = socket.write_all(HEAD).await;
        for _ in 0..CHUNKS {
            next.notified().await;
            if socket.write_all(b"1\r\n.\r\n").await.is_err() {
                return;
            }
        }
        let _ = socket.write_all(b"0\r\n\r\n").await;
    }
}

/// Opens a response of which each chunk waits for a permit.
async fn paced() -> (HttpTransport, String, Arc<Notify>) {
    let next = Arc::new(Notify::new());
    let permits = Arc::clone(&next);
    let port = listen(move |socket| chunks(socket, Arc::clone(&permits))).await;
    (transport(), format!("http://127.0.0.1:{port}/"), next)
}

#[tokio::test]
async fn a_task_does_not_wake_itself() {
    let (transport, url, next) = paced().await;
    for round in 0..3 {
        let task = Arc::new(Task::default());
        let response = transport.send(post(&url));
        let mut body = match round {
            // Name resolution and connecting may wake as they like.
            0 => response.await,
            _ => task.run(response).await,
        }
        .unwrap()
        .into_body();
        for _ in 0..CHUNKS {
            next.notify_one();
            let data = task.run(body.data()).await.unwrap().unwrap();
            assert_eq!(data, ".");
        }
        assert!(task.run(body.data()).await.is_none());
        assert_eq!(task.own.load(SeqCst), 0);
        // One for each chunk, and those of the headers and the end.
        assert!(task.others.load(SeqCst) <= CHUNKS + 3, "{:?}", task.others);
    }
}

#[tokio::test]
async fn a_response_that_came_at_once_needs_no_wake() {
    let port = listen(|mut socket| async move {
        while read_request(&mut socket).await.is_some() {
            let chunks = b"1\r\n.\r\n".repeat(CHUNKS);
            let response = [HEAD, &chunks, b"0\r\n\r\n"].concat();
            socket.write_all(&response).await.unwrap();
        }
    })
    .await;
    let response = transport().send(post(&format!("http://127.0.0.1:{port}/")));
    let task = Arc::new(Task::default());
    let body = response.await.unwrap().into_body();
    assert_eq!(task.run(read(body)).await.unwrap().len(), CHUNKS);
    assert_eq!(task.own.load(SeqCst), 0);
}

#[tokio::test]
async fn a_body_wakes_the_task_that_polled_last() {
    let (transport, url, next) = paced().await;
    let mut body: Body = transport.send(post(&url)).await.unwrap().into_body();
    let tasks: [Arc<Task>; 2] = Default::default();
    for _ in 0..CHUNKS {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(tasks[0].poll(&mut cx, |cx| body.poll_data(cx)).is_pending());
        next.notify_one();
        assert_eq!(tasks[1].run(body.data()).await.unwrap().unwrap(), ".");
    }
    assert_eq!(tasks[0].others.load(SeqCst), 0);
    assert_ne!(tasks[1].others.load(SeqCst), 0);
}

#[tokio::test]
async fn a_body_can_be_read_by_another_task() {
    let (transport, url, next) = paced().await;
    let mut body = transport.send(post(&url)).await.unwrap().into_body();
    let (give, mut given) = mpsc::channel(1);
    for _ in 0..CHUNKS {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(body.poll_data(&mut cx).is_pending());
        let (give, next) = (give.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            next.notify_one();
            assert_eq!(body.data().await.unwrap().unwrap(), ".");
            give.send(body).await.unwrap();
        });
        body = given.recv().await.unwrap();
    }
    assert!(body.data().await.is_none());
}

/// Starts a server whose chunks come in many reads.
async fn gapped() -> (HttpTransport, String) {
    let port = listen(|mut socket| async move {
        let _ = socket.set_nodelay(true);
        while read_request(&mut socket).await.is_some() {
            let _ = socket.write_all(HEAD).await;
            for at in 0..CHUNKS * 10 {
                let _ = socket.write_all(b"1\r\n.\r\n").await;
                if at % 10 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            let _ = socket.write_all(b"0\r\n\r\n").await;
        }
    });
    (transport(), format!("http://127.0.0.1:{}/", port.await))
}

#[tokio::test]
async fn a_request_can_be_dropped_after_every_poll() {
    let (transport, url) = gapped().await;
    for polls in 0.. {
        let mut left = polls;
        let mut fetched = pin!(fetch(&transport, post(&url)));
        let fetched = poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            fetched.as_mut().poll(cx).map(Some)
        });
        if let Some(text) = fetched.await {
            assert_eq!(text.unwrap().len(), CHUNKS * 10);
            assert!(4 < polls, "{polls}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_is_lost_between_threads() {
    let (transport, url) = gapped().await;
    let fetches = (0..8).map(|_| {
        let (transport, url) = (transport.clone(), url.clone());
        tokio::spawn(async move { fetch(&transport, post(&url)).await })
    });
    for fetch in fetches.collect::<Vec<_>>() {
        assert_eq!(fetch.await.unwrap().unwrap().len(), CHUNKS * 10);
    }
}
