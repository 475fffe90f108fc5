//! Printing on a thread of its own.

use std::{io, panic, time::Duration};

use inferstream::{ChatEvent, ChatResponse};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{args::Chat, exit::Failure, output::Sink, runtime::Interrupt};

/// How long printing may continue after Ctrl-C, in case the reader has stopped reading.
const PATIENCE: Duration = Duration::from_millis(100);

/// Prints on a separate thread, so that a blocked reader does not block signals or the network.
pub(crate) struct Printer<'a> {
    interrupt: &'a Interrupt,
    /// `None` while the thread prints. It stays `None` if the thread was abandoned.
    sink: Option<Sink>,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(args: &Chat, interrupt: &'a Interrupt) -> Self {
        Self {
            interrupt,
            sink: Some(Sink::new(args)),
        }
    }

    pub(crate) async fn event(&mut self, event: ChatEvent) -> Result<(), Failure> {
        self.print(move |sink| sink.event(&event)).await
    }

    pub(crate) async fn response(&mut self, response: &ChatResponse) -> Result<(), Failure> {
        let response = response.clone();
        self.print(move |sink| sink.response(&response)).await
    }

    async fn print(
        &mut self,
        print: impl FnOnce(&mut Sink) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Failure> {
        let Some(mut sink) = self.sink.take() else {
            return Ok(());
        };
        let mut printed = spawn_blocking(move || {
            let outcome = print(&mut sink);
            (sink, outcome)
        });
        let (printed, interrupted) = match self.interrupt.or(&mut printed).await {
            Ok(printed) => (Ok(printed), None),
            Err(interrupted) => (timeout(PATIENCE, printed).await, Some(interrupted)),
        };
        let outcome = match printed {
            Ok(Ok((sink, outcome))) => {
                self.sink = Some(sink);
                outcome
            }
            Ok(Err(panicked)) => panic::resume_unwind(panicked.into_panic()),
            Err(_) => Ok(()),
        };
        match interrupted {
            None => Ok(outcome?),
            Some(interrupted) => Err(interrupted),
        }
    }

    /// Prints what follows the last event, unless the reader has stopped reading.
    pub(crate) fn end(
        &mut self,
        response: &ChatResponse,
        failure: Option<&Failure>,
    ) -> io::Result<()> {
        match &mut self.sink {
            None => Ok(()),
            Some(sink) => sink.end(response, failure),
        }
    }
}
