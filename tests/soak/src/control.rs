//! The connection over which the client asks what the server saw.

use std::{
    io::{self, BufRead, Write as _},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::sleep,
};

use crate::{
    options::Result,
    server::{Addresses, Counts, Shared},
};

/// Prints the ports and the certificate.
pub(crate) fn announce(addresses: &Addresses, certificate: &str) -> io::Result<()> {
    let Addresses {
        plain,
        plain_streams,
        tls,
        tls_streams,
        control,
    } = addresses;
    let mut out = io::stdout().lock();
    writeln!(out, "{plain} {plain_streams} {tls} {tls_streams} {control}")?;
    writeln!(out, "{}", certificate.trim())?;
    out.flush()
}

/// Reads what [`announce`] printed.
pub(crate) fn read(from: &mut impl BufRead) -> Result<(Addresses, String)> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let ports: Vec<u16> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    let [plain, plain_streams, tls, tls_streams, control] = ports[..] else {
        return Err("invalid first line of the server: expected five ports".into());
    };
    let mut certificate = String::new();
    while !certificate
        .trim_end()
        .ends_with("-----END CERTIFICATE-----")
    {
        if from.read_line(&mut certificate)? == 0 {
            return Err("invalid certificate of the server".into());
        }
    }
    let addresses = Addresses {
        plain,
        plain_streams,
        tls,
        tls_streams,
        control,
    };
    Ok((addresses, certificate))
}

/// Answers the questions of one connection, a line each.
pub(crate) async fn serve(shared: Arc<Shared>, socket: TcpStream) {
    let (from, mut to) = socket.into_split();
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let number = line
            .split(' ')
            .nth(1)
            .and_then(|number| number.parse().ok());
        let counts = match (line.split(' ').next(), number) {
            (Some("take"), Some(number)) => shared.reports().remove(&number),
            (Some("show"), Some(number)) => shared.reports().get(&number).copied(),
            _ => {
                let left: Vec<String> = shared.reports().keys().map(u64::to_string).collect();
                let line = format!("{}\n", left.join(" "));
                if to.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let Counts {
            posts,
            streams,
            gets,
            cancels,
            others,
            closed,
        } = counts.unwrap_or_default();
        let line = format!("{posts} {streams} {gets} {cancels} {others} {closed}\n");
        if to.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The client's end.
pub(crate) struct Control {
    lines: Lines<BufReader<OwnedReadHalf>>,
    to: OwnedWriteHalf,
}

impl Control {
    pub(crate) async fn connect(port: u16) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        let (from, to) = socket.into_split();
        let lines = BufReader::new(from).lines();
        Ok(Self { lines, to })
    }

    /// Returns what the server saw of a stream, which it then forgets.
    pub(crate) async fn take(&mut self, number: u64) -> Result<Counts> {
        counts(&self.ask(&format!("take {number}\n")).await?)
    }

    /// Waits up to 10 s for something that the server should see.
    pub(crate) async fn wait(
        &mut self,
        number: u64,
        is_seen: impl Fn(&Counts) -> bool,
    ) -> Result<bool> {
        for attempt in 0..200 {
            if is_seen(&counts(&self.ask(&format!("show {number}\n")).await?)?) {
                return Ok(true);
            }
            sleep(Duration::from_millis(if attempt < 20 { 5 } else { 55 })).await;
        }
        Ok(false)
    }

    /// Returns the streams of which the server saw something since they were taken.
    pub(crate) async fn left(&mut self) -> Result<String> {
        self.ask("left\n").await
    }

    async fn ask(&mut self, line: &str) -> Result<String> {
        self.to.write_all(line.as_bytes()).await?;
        let answer = self.lines.next_line().await?;
        answer.ok_or_else(|| "the server closed the control connection".into())
    }
}

fn counts(line: &str) -> Result<Counts> {
    let counts: Vec<u32> = line
        .split(' ')
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    let [posts, streams, gets, cancels, others, closed] = counts[..] else {
        return Err("invalid counts from the server".into());
    };
    Ok(Counts {
        posts,
        streams,
        gets,
        cancels,
        others,
        closed,
    })
}
