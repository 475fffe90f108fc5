//! Plays a plan on a socket.

use std::{io, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use crate::wire::{
    socket::Socket,
    step::{Plan, Step},
};

/// How long a closed connection is read for the client's end, so that its kernel does not lose the
/// last bytes to a reset.
const BEFORE_CLOSE: Duration = Duration::from_secs(1);

/// Plays a plan until its end, or until the client closes the connection.
pub(crate) async fn play(mut socket: Socket, plan: Plan) {
    for step in plan.0 {
        match run(&mut socket, step).await {
            Ok(End::Next) => {}
            Ok(End::Reset) => return reset(&mut socket),
            // Dropping the socket closes it below TLS.
            Ok(End::Drop) | Err(_) => return,
        }
    }
    if socket.shutdown().await.is_ok() {
        let _ = timeout(BEFORE_CLOSE, until_closed(&mut socket)).await;
    }
}

/// Makes the kernel send a reset when the socket is dropped.
pub(super) fn reset(socket: &mut Socket) {
    let _ = socket.tcp().set_zero_linger();
}

/// How a step ends.
enum End {
    Next,
    Drop,
    Reset,
}

async fn run(socket: &mut Socket, step: Step) -> io::Result<End> {
    match step {
        Step::Send(bytes) => send(socket, &bytes).await?,
        Step::Repeat(bytes, pause) => loop {
            send(socket, &bytes).await?;
            if !pause.is_zero() {
                sleep(pause).await;
            }
        },
        Step::Corrupt(bytes) => {
            socket.flush().await?;
            socket.tcp().write_all(&bytes).await?;
        }
        Step::Wait(time) => sleep(time).await,
        Step::Hang => {
            until_closed(socket).await;
            return Ok(End::Drop);
        }
        Step::Reset => return Ok(End::Reset),
        Step::CloseBelowTls => {
            socket.flush().await?;
            socket.tcp().shutdown().await?;
            return Ok(End::Drop);
        }
    }
    Ok(End::Next)
}

async fn send(socket: &mut Socket, bytes: &Bytes) -> io::Result<()> {
    socket.write_all(bytes).await?;
    socket.flush().await
}

/// Reads until the client closes the connection.
pub(super) async fn until_closed(socket: &mut Socket) {
    let mut buffer = [0; 1024];
    while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
